import type { Health } from '#protocol';

/**
 * One part's question. Resolves with a short detail for the operator, rejects with a sentence that says what is wrong.
 * A part that is `vital` makes the whole server `failing`; any other makes it `degraded`.
 */
export interface HealthCheck {
  readonly name: string;
  readonly vital: boolean;
  ask(): Promise<string | undefined>;
}

/** A part that does not answer within this time counts as failing: a health check must not hang with what it checks. */
const ANSWER_MS = 2_000;

/** Asks every part at once. Never rejects. */
export async function healthOf(version: string, checks: readonly HealthCheck[]): Promise<Health> {
  const answers = await Promise.all(checks.map(async (check) => ({ check, answer: await ask(check) })));
  const failing = answers.filter(({ answer }) => !answer.ok);
  return {
    status: failing.length === 0 ? 'ok' : failing.some(({ check }) => check.vital) ? 'failing' : 'degraded',
    version,
    checks: Object.fromEntries(answers.map(({ check, answer }) => [check.name, answer])),
  };
}

async function ask(check: HealthCheck): Promise<{ ok: boolean; detail?: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  try {
    const detail = await Promise.race([check.ask(), late]);
    return detail === undefined ? { ok: true } : { ok: true, detail: withoutFolders(detail) };
  } catch (error) {
    return { ok: false, detail: withoutFolders(error instanceof Error ? error.message : String(error)) };
  } finally {
    clearTimeout(timer);
  }
}

/** Anybody may ask: where on the server its files lie is for its log. Of an absolute path the last name is left. */
function withoutFolders(detail: string): string {
  return detail.replace(/(?<![\w.:/…])\/(?:[^\s/:'"]+\/)+/g, '…/');
}
