import type { Ref } from 'vue';
import { onScopeDispose, ref } from 'vue';

/** Where in the messenger this page is; kept in the address, so that a reload comes back to it. */
export type Route = { page: 'chats' } | { page: 'chat'; chatId: string } | { page: 'notes' };

/** Follows the address for as long as the component lives. */
export function useRoute(): Ref<Route> {
  const route = ref(read());
  const follow = (): void => {
    route.value = read();
  };
  addEventListener('hashchange', follow);
  onScopeDispose(() => removeEventListener('hashchange', follow));
  return route;
}

export function addressOf(route: Route): string {
  if (route.page === 'chat') return `#/chat/${encodeURIComponent(route.chatId)}`;
  return route.page === 'notes' ? '#/notes' : '#/';
}

function read(): Route {
  const [, page, id] = location.hash.split('/');
  if (page === 'chat' && id) return { page: 'chat', chatId: decodeURIComponent(id) };
  return page === 'notes' ? { page: 'notes' } : { page: 'chats' };
}
