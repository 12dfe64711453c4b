import type { Recording } from '../../sdk/index.ts';
import { fill } from '../texts/locale.ts';
import type { TabTexts } from '../texts/tab-texts.ts';

export type Side = 'caller' | 'callee';

/** Who speaks on a side: "You" for the person in front of the page. */
export function nameOfSide(
  recording: Recording,
  side: Side,
  userId: string | undefined,
  texts: TabTexts,
): string {
  const party = recording[side];
  if (party === undefined) return texts[side];
  return party.userId === userId ? texts.you : party.name;
}

/** Who called whom; undefined while the server does not say. */
export function titleOf(
  recording: Recording,
  userId: string | undefined,
  texts: TabTexts,
): string | undefined {
  const { caller, callee } = recording;
  if (caller === undefined || callee === undefined) return undefined;
  if (caller.userId === userId) return fill(texts.outgoing, { name: callee.name });
  if (callee.userId === userId) return fill(texts.incoming, { name: caller.name });
  return fill(texts.between, { caller: caller.name, callee: callee.name });
}
