import { createApp } from 'vue';
import type { VerbatimClient } from '../sdk/index.ts';
import MessengerApp from './messenger-app.vue';
import ChoosePerson from './pages/choose-person.vue';
import SignInFailed from './pages/sign-in-failed.vue';
import { signIn } from './state/session.ts';

declare global {
  interface Window {
    /** The client of this page, for the console and for tests. */
    verbatim?: VerbatimClient;
  }
}

const query = new URLSearchParams(location.search);
const as = query.get('as');

await open();

async function open(): Promise<void> {
  if (as !== 'alice' && as !== 'bob') {
    createApp(ChoosePerson).mount('#app');
    return;
  }
  try {
    const session = await signIn(as, query.has('raw'));
    window.verbatim = session.client;
    document.title = `${session.me.name} – Verbatim demo`;
    createApp(MessengerApp, { session }).mount('#app');
  } catch (error) {
    createApp(SignInFailed, { why: error instanceof Error ? error.message : String(error) }).mount('#app');
  }
}
