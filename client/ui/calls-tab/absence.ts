import type { Recording } from '../../sdk/index.ts';
import { fill } from '../texts/locale.ts';
import type { AbsenceReason, TabTexts } from '../texts/tab-texts.ts';

/** Reasons of the server (core/recording, recorder-worker) that say more than that something broke. */
const REASONS: Readonly<Record<string, AbsenceReason>> = {
  recording_disabled: 'recording_off',
  setting_off: 'recording_off',
  no_audio: 'too_short',
  too_short: 'too_short',
  not_armed: 'not_armed',
};

/** Why there is nothing to play, in words; undefined when there is. */
export function absenceText({ state, reason }: Recording, texts: TabTexts): string | undefined {
  switch (state) {
    case 'available':
      return undefined;
    case 'armed':
    case 'capturing':
      return texts.running;
    case 'processing':
      return texts.notYet;
    case 'removed': {
      // Written by a person, about this one order.
      const given = reason === undefined ? '' : ` ${fill(texts.removedBecause, { reason })}`;
      return `${texts.absence.removed}${given}`;
    }
    case 'expired':
      return texts.absence.expired;
    case 'failed':
      return texts.absence[REASONS[reason ?? ''] ?? 'capture_error'];
  }
}
