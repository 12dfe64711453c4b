import type { ShallowRef } from 'vue';
import { onScopeDispose, ref, shallowRef } from 'vue';
import type { EvidenceState, VerbatimClient } from '../../sdk/index.ts';
import { fill } from '../texts/locale.ts';
import type { TabTexts } from '../texts/tab-texts.ts';

export interface EvidenceView {
  /** Undefined when this browser keeps nothing of the recording. */
  state: ShallowRef<EvidenceState | undefined>;
  checking: Readonly<ShallowRef<boolean>>;
  /** Holds the recording against what this browser keeps, once more. */
  check(): Promise<void>;
}

/** What this browser can say of a recording (F36), as it stands and as it changes. */
export function useEvidence(client: VerbatimClient, recordingId: string): EvidenceView {
  const state = shallowRef<EvidenceState>();
  const checking = ref(false);
  let round = 0;

  async function show(ask: () => Promise<EvidenceState | undefined>): Promise<void> {
    round += 1;
    const mine = round;
    const found = await ask();
    // What was asked for last is what stays.
    if (mine === round) state.value = found;
  }

  const off = client.on('evidence', (verdict) => {
    if (verdict.recordingId === recordingId) void show(() => client.evidence(recordingId));
  });
  onScopeDispose(() => {
    round += 1;
    off();
  });
  void show(() => client.evidence(recordingId));

  return {
    state,
    checking,
    async check() {
      if (checking.value) return;
      checking.value = true;
      try {
        await show(() => client.checkEvidence(recordingId));
      } finally {
        checking.value = false;
      }
    },
  };
}

/** The verdict in words, and what to do when it is bad. */
export function evidenceWords(
  state: EvidenceState | undefined,
  { evidence }: TabTexts,
): { what: string; todo?: string } {
  switch (state?.verdict) {
    case 'confirmed':
      return { what: evidence.confirmed };
    case 'mismatch': {
      const report =
        state.serverConfirms === undefined
          ? evidence.reportPending
          : state.serverConfirms
            ? evidence.reportConfirmed
            : evidence.reportDenied;
      return { what: evidence.mismatch, todo: `${evidence.mismatchTodo} ${report}` };
    }
    case 'failed':
      return { what: evidence.failed };
    case 'unverified':
      return { what: fill(evidence.unverified, { problem: state.problem ?? '…' }) };
    default:
      return { what: state === undefined ? evidence.none : evidence.checking };
  }
}
