import { ref } from 'vue';
import type { AdminSession } from '#protocol';
import { ask, Refused } from '../backend.ts';

/** Who is signed in; null for nobody, undefined while that is not known yet. */
export const session = ref<AdminSession | null>();

/** Asks the server who is signed in here. */
export async function loadSession(): Promise<void> {
  try {
    session.value = await ask<AdminSession>('GET', 'session');
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'unauthorized') throw error;
    session.value = null;
  }
}

export async function signOut(): Promise<void> {
  await ask('DELETE', 'session');
  session.value = null;
}

/** Asked for a fresh proof; resolves when there is one, rejects when the person gives up. */
export const proofAsked = ref<{ given: () => void; givenUp: () => void }>();

/** Does something, and once more after a fresh proof when the server wants one. @throws what the act throws */
export async function withProof<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === 'unauthorized') session.value = null;
    if (error.code !== 'proof_required') throw error;
    await new Promise<void>((resolve, reject) => {
      proofAsked.value = { given: resolve, givenUp: () => reject(error) };
    }).finally(() => {
      proofAsked.value = undefined;
    });
    return act();
  }
}
