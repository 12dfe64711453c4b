import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { JsonObject } from '#ledger';

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Count = Type.Integer({ minimum: 0 });
const Epoch = Type.Integer({ minimum: 1 });
const File = Type.Object({ sizeBytes: Count, sha256: Hash });
const Head = Type.Object({ epoch: Epoch, seq: Count, head: Hash });
/** The head is empty when not even the file header was whole. */
const State = Type.Object({
  epoch: Epoch,
  seq: Count,
  head: Type.String(),
  status: Type.String(),
  goodBytes: Count,
  tailBytes: Count,
});

const Consent = Type.Object({
  call: Type.String(),
  app: Type.String(),
  chat: Hash,
  side: Type.Union([Type.Literal('caller'), Type.Literal('callee')]),
  party: Hash,
  device: Hash,
  disclosure: Type.Object({ sha256: Hash, version: Type.Integer(), locale: Type.String() }),
});
const Start = Type.Object({ call: Type.String(), caller: Hash, callee: Hash, journal: Head });
const End = Type.Object({ call: Type.String(), reason: Type.String() });
const States = Type.Object({ journals: Type.Array(State) });
const Final = Type.Object({
  call: Type.String(),
  durationMs: Count,
  consents: Type.Array(Hash, { minItems: 2, maxItems: 2 }),
  format: Type.String(),
  journals: Type.Array(Head),
  pay: File,
  hdr: File,
  coverageSha256: Hash,
  commitment: Hash,
});

export type ConsentBody = Type.Static<typeof Consent>;
export type StartBody = Type.Static<typeof Start>;
export type FinalBody = Type.Static<typeof Final>;
export type JournalStateBody = Type.Static<typeof State>;

/** The bodies of entries, as far as files are held against them. Undefined for what says something else. */
export const consentBody = (d: JsonObject): ConsentBody | undefined => (Check(Consent, d) ? d : undefined);
export const startBody = (d: JsonObject): StartBody | undefined => (Check(Start, d) ? d : undefined);
export const endBody = (d: JsonObject): Type.Static<typeof End> | undefined =>
  Check(End, d) ? d : undefined;
export const statesBody = (d: JsonObject): JournalStateBody[] | undefined =>
  Check(States, d) ? d.journals : undefined;
export const finalBody = (d: JsonObject): FinalBody | undefined => (Check(Final, d) ? d : undefined);
