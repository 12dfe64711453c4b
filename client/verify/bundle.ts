import type { Bytes } from './bytes.ts';
import { concat, EvidenceError, fromHex, hmac, sha256, sha512, textOf, toHex, utf8 } from './bytes.ts';
import type { LightChain } from './chain.ts';
import { readChain } from './chain.ts';
import { JsonReader } from './json.ts';
import type { Checkpoint, LogKey, Signed } from './note.ts';
import { openCheckpoint, openKey, openReceipt } from './note.ts';
import type { BundleFacts, BundleReport, Check } from './report.ts';
import { checkInclusion, leafHash, parseProof } from './tree.ts';
import { openVcon } from './vcon.ts';
import { readZip } from './zip.ts';

type Side = 'caller' | 'callee';

/** Files that every bundle has; besides them receipts and chains by number, and the two verifiers. */
const NEEDED = [
  'README.txt',
  'manifest.json',
  'opening.json',
  'coverage.json',
  'disclosure-caller.txt',
  'disclosure-callee.txt',
  'entries/consent-caller.json',
  'entries/consent-callee.json',
  'entries/rec-final.json',
  'proofs/consent-caller.tlog-proof',
  'proofs/consent-callee.tlog-proof',
  'proofs/rec-final.tlog-proof',
  'checkpoint',
  'ledger.vkeys',
  'vcon.json',
  'recording.webm',
] as const;
const NUMBERED = /^(?:receipts|chain)\/epoch-[1-9][0-9]{0,8}$/;
const OPTIONAL = ['verify.mjs', 'verify.html'];
/** Beyond it a browser cannot hold the file. */
export const MAX_BUNDLE_BYTES = 2 ** 31 - 1;

/**
 * Checks a whole evidence bundle, without network and without any secret. Never throws for what is wrong with the
 * bundle: every check says what it found, and those that build on a failed one say so.
 */
export async function verifyBundle(bytes: Bytes): Promise<BundleReport> {
  const checks: Check[] = [];
  const run = new Bundle(checks);
  try {
    return { ok: true, checks, facts: await run.all(bytes) };
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    return { ok: false, checks };
  }
}

/** Something failed that the rest builds on, and is in the list already. */
class Stop extends Error {}

interface Entry {
  bytes: Bytes;
  sub: string;
  hash: string;
  type: string;
  d: JsonReader;
}

class Bundle {
  readonly #checks: Check[];
  #files = new Map<string, Bytes>();
  /** The keys whose signatures were found good. */
  readonly #signedBy = new Set<LogKey>();

  constructor(checks: Check[]) {
    this.#checks = checks;
  }

  async all(bytes: Bytes): Promise<BundleFacts> {
    await this.#must('zip', () => this.#unpack(bytes));
    await this.#must('manifest', () => this.#manifest());
    const keys = await this.#must('log-key', () => this.#keys());
    const checkpoint = await this.#must('checkpoint', () => this.#checkpoint(keys));
    const entries = {
      caller: await this.#must('consent-caller', () =>
        this.#entry('consent-caller', 'call.consent', checkpoint, keys),
      ),
      callee: await this.#must('consent-callee', () =>
        this.#entry('consent-callee', 'call.consent', checkpoint, keys),
      ),
      final: await this.#must('rec-final', () => this.#entry('rec-final', 'rec.final', checkpoint, keys)),
    };
    const opening = await this.#must('opening', () => this.#opening(entries.final));
    // From here every check stands for itself: all of them are made, whatever one finds, and always in this order.
    const found = [
      await this.#may('recording', () => this.#recording(opening, entries.final)),
      await this.#may('coverage', () => this.#coverage(entries.final)),
      await this.#may('party-caller', () => this.#party('caller', opening, entries)),
      await this.#may('party-callee', () => this.#party('callee', opening, entries)),
      await this.#may('disclosure-caller', () => this.#disclosure('caller', entries.caller)),
      await this.#may('disclosure-callee', () => this.#disclosure('callee', entries.callee)),
      await this.#may('chain', () => this.#chains(opening.recording)),
      await this.#may('receipts', () => this.#receipts(opening, keys, checkpoint)),
      await this.#may('vcon', () => this.#vcon(keys, opening)),
    ];
    if (found.includes(false)) throw new Stop();
    const vkeys = keys.filter((key) => this.#signedBy.has(key)).map(({ vkey }) => vkey);
    this.#nameKeys(vkeys);
    try {
      return factsOf(opening, entries.final.d, checkpoint, vkeys);
    } catch (error) {
      this.#checks.push({ check: 'facts', ok: false, detail: wordsOf(error) });
      throw new Stop();
    }
  }

  #unpack(bytes: Bytes): string {
    for (const { name, start, end } of readZip(bytes)) this.#files.set(name, bytes.slice(start, end));
    for (const name of NEEDED) this.#file(name);
    for (const name of this.#files.keys()) {
      const known = NEEDED.some((each) => each === name) || OPTIONAL.includes(name) || NUMBERED.test(name);
      if (!known) throw new EvidenceError(`the bundle holds a file that does not belong into it: ${name}`);
    }
    return `${this.#files.size} files, all that belong into a bundle and no other`;
  }

  async #manifest(): Promise<string> {
    const rows = JsonReader.parse(this.#file('manifest.json'), 'manifest.json').objects('files');
    const listed = new Set<string>();
    for (const row of rows) {
      const name = row.text('name');
      const file = this.#file(name);
      if (listed.has(name) || name === 'manifest.json')
        throw new EvidenceError(`the manifest lists ${name} twice`);
      listed.add(name);
      if (file.length !== row.number('size') || toHex(await sha256(file)) !== row.text('sha256')) {
        throw new EvidenceError(`${name} is not the file that the manifest lists`);
      }
    }
    const missing = [...this.#files.keys()].find((name) => name !== 'manifest.json' && !listed.has(name));
    if (missing !== undefined) throw new EvidenceError(`the manifest does not list ${missing}`);
    return `every file has the size and SHA-256 that the manifest lists`;
  }

  async #keys(): Promise<LogKey[]> {
    const lines = this.#text('ledger.vkeys').split('\n').slice(0, -1);
    const keys = await Promise.all(lines.map(openKey));
    const name = keys[0]?.name;
    if (name === undefined || keys.some((key) => key.name !== name)) {
      throw new EvidenceError('ledger.vkeys: expected the keys of one log');
    }
    if (new Set(lines).size !== lines.length) throw new EvidenceError('ledger.vkeys: a key is there twice');
    this.#note(`${keys.length} keys of the log ${name} are listed`);
    return keys;
  }

  /** Whoever made the bundle chose the list: only the keys that did sign are worth comparing, and all of them are. */
  #nameKeys(vkeys: readonly string[]): void {
    const check = this.#checks.find((each) => each.check === 'log-key');
    const words = vkeys.length === 1 ? 'signed all of it: it must be' : 'signed it: each must be';
    if (check)
      check.detail = `${vkeys.join(' and ')} ${words} among those that the server publishes at /v1/ledger/vkeys`;
  }

  /** Notes who signed it. */
  #vouched<T extends { signedBy: LogKey[] }>(signed: T): T {
    for (const key of signed.signedBy) this.#signedBy.add(key);
    return signed;
  }

  async #checkpoint(keys: readonly LogKey[]): Promise<Signed<Checkpoint>> {
    const checkpoint = this.#vouched(await openCheckpoint(this.#text('checkpoint'), keys));
    this.#note(`the log ${checkpoint.origin} signed a head of ${checkpoint.size} entries`);
    return checkpoint;
  }

  async #entry(
    name: 'consent-caller' | 'consent-callee' | 'rec-final',
    type: string,
    checkpoint: Checkpoint,
    keys: readonly LogKey[],
  ): Promise<Entry> {
    const bytes = this.#file(`entries/${name}.json`);
    const proof = parseProof(this.#text(`proofs/${name}.tlog-proof`));
    if (proof.checkpoint !== this.#text('checkpoint')) {
      throw new EvidenceError(`the proof of ${name} is for another checkpoint`);
    }
    await openCheckpoint(proof.checkpoint, keys);
    const leaf = await leafHash(bytes);
    await checkInclusion({
      index: proof.index,
      size: checkpoint.size,
      leaf,
      proof: proof.hashes,
      root: checkpoint.root,
    });
    const entry = JsonReader.parse(bytes, name);
    if (entry.text('t') !== type) throw new EvidenceError(`${name}: expected an entry ${type}`);
    this.#note(`entry ${proof.index} of the log, ${entry.text('ts')}`);
    return { bytes, hash: toHex(leaf), sub: entry.text('sub'), type, d: entry.object('d') };
  }

  #opening(final: Entry): Opening {
    const json = JsonReader.parse(this.#file('opening.json'), 'opening.json');
    const opening: Opening = {
      recording: json.text('recording'),
      call: json.text('call'),
      salt: fromHex(json.text('salt'), 'salt', 32),
      caller: json.text('caller'),
      callee: json.text('callee'),
      sha256: json.text('sha256'),
      sha512: json.text('sha512'),
      sizeBytes: json.number('sizeBytes'),
    };
    if (final.sub !== `rec:${opening.recording}` || final.d.text('call') !== opening.call) {
      throw new EvidenceError('the opening is of another recording than the entry');
    }
    this.#note(`recording ${opening.recording}`);
    return opening;
  }

  async #recording(opening: Opening, final: Entry): Promise<string> {
    const file = this.#file('recording.webm');
    const digests = [await sha256(file), await sha512(file)] as const;
    const content = concat(utf8('verbatim/commit/v1\n'), ...digests);
    if (toHex(await hmac(opening.salt, content)) !== final.d.text('commitment')) {
      throw new EvidenceError('recording.webm (or the salt) is not what the ledger commits to');
    }
    const stated = [opening.sha256, opening.sha512, opening.sizeBytes];
    if (stated[0] !== toHex(digests[0]) || stated[1] !== toHex(digests[1]) || stated[2] !== file.length) {
      throw new EvidenceError('the opening states other hashes than recording.webm has');
    }
    return `recording.webm, ${file.length} bytes, is the file that the ledger commits to`;
  }

  async #coverage(final: Entry): Promise<string> {
    const hash = toHex(await sha256(this.#file('coverage.json')));
    if (hash !== final.d.text('coverageSha256'))
      throw new EvidenceError('coverage.json is not the one of the ledger');
    const legs = final.d
      .objects('legs')
      .map(
        (leg) => `${leg.text('side')} ${leg.number('lost')} of ${leg.number('packets') + leg.number('lost')}`,
      );
    return `packets lost: ${legs.join(', ')}; holes: ${final.d.objects('holes').length}`;
  }

  async #party(side: Side, opening: Opening, entries: Record<Side | 'final', Entry>): Promise<string> {
    const consent = entries[side];
    const place = entries.final.d.texts('consents')[side === 'caller' ? 0 : 1];
    if (place !== consent.hash)
      throw new EvidenceError(`the recording's entry names another consent of the ${side}`);
    const { sub, d } = consent;
    if (sub !== entries.final.sub || d.text('side') !== side || d.text('call') !== opening.call) {
      throw new EvidenceError(`the consent is of another side or call`);
    }
    const mark = toHex(await hmac(opening.salt, utf8(`party\n${opening[side]}`)));
    if (mark !== consent.d.text('party'))
      throw new EvidenceError(`the ${side} who consented is not ${opening[side]}`);
    return `${opening[side]} consented (${consent.d.text('action')}) at ${consent.d.text('at')}`;
  }

  async #disclosure(side: Side, consent: Entry): Promise<string> {
    const { d } = consent;
    const disclosure = d.object('disclosure');
    const hash = toHex(await sha256(this.#file(`disclosure-${side}.txt`)));
    if (hash !== disclosure.text('sha256')) throw new EvidenceError(`disclosure-${side}.txt is another text`);
    return `version ${disclosure.number('version')} (${disclosure.text('locale')}), exactly as agreed to`;
  }

  /** Also keeps the heads, for the receipts. */
  async #chains(recording: string): Promise<string> {
    // The entry has room for the first ones; the report names all, and its hash is in the entry.
    const journals = JsonReader.parse(this.#file('coverage.json'), 'coverage.json').objects('journals');
    let blocks = 0;
    for (const journal of journals) {
      const epoch = journal.number('epoch');
      const chain = await readChain(this.#file(`chain/epoch-${epoch}`));
      const seq = journal.number('seq');
      if (chain.recording !== recording || chain.epoch !== epoch) {
        throw new EvidenceError(`chain/epoch-${epoch} is of another journal`);
      }
      if (chain.heads.length !== seq + 1 || chain.heads[seq] !== journal.text('head')) {
        throw new EvidenceError(`chain/epoch-${epoch} does not lead to the head in the ledger`);
      }
      this.#chainsByEpoch.set(epoch, chain);
      blocks += seq;
    }
    const chains = [...this.#files.keys()].filter((name) => name.startsWith('chain/')).length;
    if (chains !== journals.length) throw new EvidenceError('there are more chains than journals');
    return `${counted(journals.length, 'journal')}, ${counted(blocks, 'block')}, each leads to the next`;
  }

  readonly #chainsByEpoch = new Map<number, LightChain>();

  async #receipts(opening: Opening, keys: readonly LogKey[], checkpoint: Checkpoint): Promise<string> {
    const names = [...this.#files.keys()].filter((name) => name.startsWith('receipts/'));
    for (const name of names) {
      const receipt = this.#vouched(await openReceipt(this.#text(name), keys));
      if (
        receipt.origin !== checkpoint.origin ||
        receipt.recordingId !== opening.recording ||
        receipt.callId !== opening.call ||
        name !== `receipts/epoch-${receipt.epoch}`
      ) {
        throw new EvidenceError(`${name} is about something else`);
      }
      const chain = this.#chainsByEpoch.get(receipt.epoch);
      if (chain?.heads[receipt.seq] !== receipt.head) {
        throw new EvidenceError(`${name}: what was signed during the call is not in the journal`);
      }
    }
    if (names.length === 0) return 'none was signed during the call';
    return names.length === 1
      ? '1 head that was signed during the call is in the journal'
      : `${names.length} heads that were signed during the call are in the journal`;
  }

  async #vcon(keys: readonly LogKey[], opening: Opening): Promise<string> {
    const vcon = this.#vouched(await openVcon(this.#file('vcon.json'), keys));
    if (vcon.sha512 !== opening.sha512) throw new EvidenceError('vcon.json names another file');
    if (vcon.uuid !== opening.recording) throw new EvidenceError('vcon.json is of another recording');
    const [caller, callee, ...others] = vcon.people;
    if (caller !== opening.caller || callee !== opening.callee || others.length > 0)
      throw new EvidenceError('vcon.json names other people');
    return 'signed, and names recording.webm by its SHA-512';
  }

  #file(name: string): Bytes {
    const bytes = this.#files.get(name);
    if (bytes === undefined) throw new EvidenceError(`${name} is missing`);
    return bytes;
  }

  #text(name: string): string {
    return textOf(this.#file(name), name);
  }

  #detail: string | undefined;

  /** The words of a check that answers something else than words. */
  #note(detail: string): void {
    this.#detail = detail;
  }

  async #must<T>(check: string, work: () => T | Promise<T>): Promise<T> {
    this.#detail = undefined;
    try {
      const result = await work();
      this.#checks.push({ check, ok: true, detail: this.#detail ?? String(result) });
      return result;
    } catch (error) {
      this.#checks.push({ check, ok: false, detail: wordsOf(error) });
      throw new Stop();
    }
  }

  async #may(check: string, work: () => Promise<string>): Promise<boolean> {
    try {
      const detail = await work();
      this.#checks.push({ check, ok: true, detail });
      return true;
    } catch (error) {
      this.#checks.push({ check, ok: false, detail: wordsOf(error) });
      return false;
    }
  }
}

interface Opening {
  recording: string;
  call: string;
  salt: Bytes;
  caller: string;
  callee: string;
  sha256: string;
  sha512: string;
  sizeBytes: number;
}

/** A JSON of any shape may come: what is not foreseen is still a finding, not a crash. */
function wordsOf(error: unknown): string {
  if (error instanceof EvidenceError || error instanceof Error) return error.message;
  return String(error);
}

function factsOf(
  opening: Opening,
  d: JsonReader,
  { origin, size }: Checkpoint,
  vkeys: string[],
): BundleFacts {
  const lost = (side: Side): number =>
    d
      .objects('legs')
      .find((leg) => leg.text('side') === side)
      ?.number('lost') ?? 0;
  return {
    recording: opening.recording,
    call: opening.call,
    startedAt: d.text('startedAt'),
    endedAt: d.text('endedAt'),
    durationMs: d.number('durationMs'),
    caller: opening.caller,
    callee: opening.callee,
    sha256: opening.sha256,
    origin,
    vkeys,
    checkpointSize: size,
    lost: { caller: lost('caller'), callee: lost('callee') },
    holes: d.objects('holes').length,
  };
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
