import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Value } from 'typebox/value';
import type { App, PatchAppBody } from '#protocol';
import { APP_LIMITS, PatchAppBody as PatchAppSchema, VerbatimError } from '#protocol';
import { Apps } from '../../core/auth/index.ts';
import { updateApp } from '../../core/db/index.ts';
import type { OperatorDatabase } from './operator-database.ts';
import { OperatorError } from './operator-error.ts';

/** What these commands tell, for a person and as data. */
interface Told {
  lines: string[];
  data: App;
}

export interface IceOptions {
  stun?: string;
  turn?: string;
  'credential-seconds'?: string;
  'relay-only'?: string;
  'secret-file'?: string;
}

const FOR_EVER = 'forever';

/** All settings of an app. @throws OperatorError when there is no such app, here and below */
export async function showApp(db: OperatorDatabase, id: string): Promise<Told> {
  return told(id, await new Apps(db, db.secrets.sealKey).find(id));
}

/** F32: `forever`, or the days after which recordings expire. */
export async function setRetention(db: OperatorDatabase, id: string, period: string): Promise<Told> {
  const { least, most } = APP_LIMITS.retentionDays;
  const days = period === FOR_EVER ? null : wholeNumber(period, least, most, `${FOR_EVER}, or days`);
  await updateApp(db, id, { retentionDays: days });
  return showApp(db, id);
}

/** How long a call of this app rings. */
export async function setRingTime(db: OperatorDatabase, id: string, seconds: string): Promise<Told> {
  const { least, most } = APP_LIMITS.ringTimeoutMs;
  return change(db, id, {
    ringTimeoutMs: 1_000 * wholeNumber(seconds, least / 1_000, most / 1_000, 'seconds'),
  });
}

/** The app's own ICE servers, as a whole; the secret of its relays comes from a file or standard input. */
export async function setIce(db: OperatorDatabase, id: string, options: IceOptions): Promise<Told> {
  const { stun, turn, 'secret-file': file, 'relay-only': relayOnly, 'credential-seconds': seconds } = options;
  if (relayOnly !== undefined && relayOnly !== 'on' && relayOnly !== 'off')
    throw new OperatorError(`--relay-only: expected on or off, got "${relayOnly}".`);
  const { least, most } = APP_LIMITS.credentialSeconds;
  const ice = {
    stunUrls: listOf(stun),
    turnUrls: listOf(turn),
    relayOnly: relayOnly === 'on',
    ...(seconds === undefined
      ? {}
      : { credentialSeconds: wholeNumber(seconds, least, most, '--credential-seconds:') }),
  };
  if (ice.stunUrls.length + ice.turnUrls.length === 0)
    throw new OperatorError('Name servers with --stun or --turn; ice remove goes back to the server’s own.');
  const secret =
    file === undefined
      ? undefined
      : (file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')).trim();
  const body = { ice: { ...ice, ...(secret === undefined ? {} : { secret }) } };
  if (!Value.Check(PatchAppSchema, body)) {
    // Never the value: it may be the secret.
    const wrong = Value.Errors(PatchAppSchema, { ice })[0] === undefined ? '--secret-file' : '--stun, --turn';
    throw new OperatorError(
      wrong === '--secret-file'
        ? '--secret-file: expected the secret that the relays know, 16 to 256 characters without spaces.'
        : `${wrong}: expected up to ${APP_LIMITS.maxIceUrls} URLs each, such as stun:turn.example.org:3478 or turns:turn.example.org:5349?transport=tcp, separated by commas.`,
    );
  }
  return change(db, id, body);
}

/** Back to the server's own ICE servers. */
export function removeIce(db: OperatorDatabase, id: string): Promise<Told> {
  return change(db, id, { ice: null });
}

async function change(db: OperatorDatabase, id: string, body: PatchAppBody): Promise<Told> {
  try {
    return told(id, await new Apps(db, db.secrets.sealKey).change(id, body));
  } catch (error) {
    if (!(error instanceof VerbatimError) || error.code !== 'bad_request') throw error;
    throw new OperatorError(`${error.message}.`, { cause: error });
  }
}

function told(id: string, app: App | undefined): Told {
  if (app === undefined) throw new OperatorError(`There is no app "${id}": scripts/app list shows them.`);
  const { ice } = app;
  return {
    lines: [
      `${app.id}  "${app.name}"`,
      `secure calls:   ${app.recordingEnabled ? 'on' : 'off'}`,
      `calls ring for: ${app.ringTimeoutMs / 1_000} s`,
      `recordings:     kept ${app.retentionDays === null ? 'for ever' : `for ${app.retentionDays} days`}`,
      `origins:        ${app.allowedOrigins.join(', ') || 'none but this server’s own pages'}`,
      `ICE servers:    ${
        ice === null
          ? 'the server’s own'
          : [...ice.stunUrls, ...ice.turnUrls, ...(ice.relayOnly ? ['relay only'] : [])].join(', ')
      }`,
    ],
    data: app,
  };
}

function listOf(value: string | undefined): string[] {
  return (value ?? '').split(',').flatMap((url) => (url.trim() === '' ? [] : [url.trim()]));
}

function wholeNumber(value: string, least: number, most: number, what: string): number {
  const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most))
    throw new OperatorError(`Expected ${what} from ${least} to ${most}, got "${value}".`);
  return number;
}
