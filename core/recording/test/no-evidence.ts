import type { CallEvidence, FinishEvidence } from '../../evidence/index.ts';

export const noEvidence: CallEvidence & FinishEvidence = {
  assertWritable: () => undefined,
  consent: async () => 0,
  callStarted: async () => undefined,
  callEnded: async () => undefined,
  info: () => undefined,
  final: async () => null,
  failed: async () => undefined,
  acknowledged: async () => [],
  heads: async () => undefined,
};
