import { onScopeDispose, ref } from 'vue';

/** The pages of the console, by their address. */
export const PAGES = ['overview', 'admins', 'account'] as const;
export type Page = (typeof PAGES)[number];

/** Which page the address names; the first one for an address of none. */
export function usePage() {
  const page = ref(read());
  const follow = (): void => {
    page.value = read();
  };
  addEventListener('hashchange', follow);
  onScopeDispose(() => removeEventListener('hashchange', follow));
  return page;
}

function read(): Page {
  const [, name] = location.hash.split('/');
  return PAGES.find((page) => page === name) ?? 'overview';
}

/** The token of a one-time link; it is taken out of the address, so that it is not in the history or on a screenshot. */
export function takeLinkToken(): string | undefined {
  const [, kind, token] = location.hash.split('/');
  if (kind !== 'link') return undefined;
  history.replaceState(null, '', `${location.pathname}#/`);
  return token ?? '';
}
