import { ZxcvbnFactory } from '@zxcvbn-ts/core';
import * as common from '@zxcvbn-ts/language-common';
import { VerbatimError } from '#protocol';

const MIN_CHARACTERS = 12;
/** Beside the words that belong to the account. */
const MIN_OWN_CHARACTERS = 8;
/** Looking for patterns takes longer than linear time; who has more than this is past guessing. */
const LOOKED_AT = 100;
/** Guesses (powers of ten) that somebody needs who has the hash, knows the lists of leaked passwords, and the owner. */
const MIN_GUESSES_LOG10 = 10;

let estimator: ZxcvbnFactory | undefined;

/**
 * Refuses what others would guess: short ones, those of the lists of leaked passwords with or without the usual
 * changes, keyboard walks, dates, repetitions, and what is made of the account's own words. No other rules: a sentence
 * is as good as signs (NIST SP 800-63B §3.1.1.2).
 * @throws VerbatimError `bad_request` that says what to do
 */
export function assertStrong(password: string, ownWords: readonly string[]): void {
  const text = password.normalize('NFC');
  if ([...text].length < MIN_CHARACTERS) {
    throw new VerbatimError('bad_request', `body/password: expected at least ${MIN_CHARACTERS} characters`);
  }
  // Made at first need: the lists take memory and a third of a second.
  estimator ??= new ZxcvbnFactory({ dictionary: { ...common.dictionary }, graphs: common.adjacencyGraphs });
  const words = ownWords
    .flatMap((word) => [word, ...word.split(/[^\p{L}\p{N}]+/u)])
    .filter((word) => word.length > 2);
  // The estimate counts each further word for more than it is worth to somebody who knows the owner.
  const rest = words.reduce((left, word) => left.replaceAll(word.toLowerCase(), ''), text.toLowerCase());
  const { guessesLog10 } = estimator.check(text.slice(0, LOOKED_AT), [...words, 'verbatim']);
  if (guessesLog10 < MIN_GUESSES_LOG10 || [...rest].length < MIN_OWN_CHARACTERS) {
    throw new VerbatimError(
      'bad_request',
      'body/password: expected one that is hard to guess: four or five words that do not belong together do well',
    );
  }
}
