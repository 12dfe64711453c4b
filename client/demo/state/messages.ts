import type { ShallowRef } from 'vue';
import { onScopeDispose, ref, shallowRef } from 'vue';
import type { DemoMessage, DemoMessages } from '#protocol';
import type { DemoSession } from './session.ts';

/** After an answer that failed, so long until the next question. */
const RETRY_MS = 2_000;
/** What the page keeps; the server keeps no more. */
const MAX_KEPT = 1_000;

/** The messages of all chats of this person, as they come. */
export interface MessageLog {
  readonly messages: ShallowRef<readonly DemoMessage[]>;
  /** Of one chat, oldest first. */
  of(chatId: string): DemoMessage[];
  /** @throws Error with a sentence for the person */
  send(chatId: string, text: string): Promise<void>;
}

/** Asks the server for messages for as long as the component lives; each answer waits there for the next message. */
export function useMessages(session: DemoSession): MessageLog {
  const messages = shallowRef<readonly DemoMessage[]>([]);
  const last = ref(0);
  const over = new AbortController();
  onScopeDispose(() => over.abort());

  function take(more: readonly DemoMessage[]): void {
    const fresh = more.filter(({ id }) => id > last.value);
    if (fresh.length === 0) return;
    last.value = Math.max(...fresh.map(({ id }) => id));
    messages.value = [...messages.value, ...fresh].slice(-MAX_KEPT);
  }

  async function ask(): Promise<void> {
    const response = await fetch(`/demo/messages?after=${last.value}`, {
      headers: { authorization: `Bearer ${await session.token()}` },
      signal: over.signal,
    });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    take(((await response.json()) as DemoMessages).messages);
  }

  async function follow(): Promise<void> {
    while (!over.signal.aborted) {
      try {
        await ask();
      } catch {
        // The server is away, or this page goes: the chat shows what it has, and asks again.
        if (!over.signal.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
  void follow();

  return {
    messages,
    of: (chatId) => messages.value.filter((message) => message.chatId === chatId),
    async send(chatId, text) {
      const response = await fetch('/demo/messages', {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await session.token()}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ chatId, text }),
      });
      if (!response.ok) throw new Error(`The message was not sent (HTTP ${response.status}).`);
      // It comes by `follow`, too, in its place among the others.
    },
  };
}
