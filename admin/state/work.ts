import { ref } from 'vue';
import { sentenceOf } from '../backend.ts';

/** One thing that a person waits for: whether it goes on, and what went wrong. */
export function useWork() {
  const busy = ref(false);
  const problem = ref('');
  const run = async (act: () => Promise<unknown>): Promise<boolean> => {
    if (busy.value) return false;
    busy.value = true;
    problem.value = '';
    try {
      await act();
      return true;
    } catch (error) {
      problem.value = sentenceOf(error);
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { busy, problem, run };
}
