import type { Browser, Page } from 'playwright-core';
import type { CallView } from '#protocol';
import { newPage } from '../../test/browser.ts';
import type { startScript } from '../../test/scripted-server.ts';
import { callView } from '../../test/scripted-server.ts';

/** For tests: a messenger's page with the elements in it, under the strictest policy that a page can have. */

export type Script = Awaited<ReturnType<typeof startScript>>;

/** No inline style, no inline script, nothing from elsewhere. */
export const STRICT_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "media-src 'self' blob:",
  "base-uri 'none'",
].join('; ');

const STYLE = `
  html { color-scheme: light dark; }
  body { margin: 0; font-family: system-ui, sans-serif; background: Canvas; color: CanvasText; min-height: 100vh; }
  header { display: flex; align-items: center; gap: 1rem; padding: .75rem 1rem; border-bottom: 1px solid #8884; }
  header strong { flex: 1; }
  main { padding: 1rem; }
`;

const SCRIPT = `
  import { connectVerbatim, setLocale, setTexts, useClient } from '/ui/verbatim-ui.js';
  const query = new URLSearchParams(location.search);
  window.ui = { setLocale, setTexts, useClient };
  window.violations = [];
  addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));
  window.heard = [];
  for (const name of ['verbatim-call-started', 'verbatim-call-failed', 'verbatim-call-ended'])
    addEventListener(name, ({ detail }) => heard.push({ name, detail }));
  if (query.get('dir')) document.documentElement.dir = query.get('dir');
  if (query.get('locale')) setLocale(query.get('locale'));
  if (query.get('client') !== 'none')
    window.verbatim = connectVerbatim({ url: location.origin, token: 'token', device: 'device-of-test' });
`;

const PICTURE = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 80"><rect width="80" height="80" fill="#f2b84b"/><circle cx="40" cy="32" r="15" fill="#5b3a29"/><path d="M10 80a30 28 0 0 1 60 0z" fill="#2f6f8f"/></svg>`;

export const PEER = { userId: 'bob', name: 'Bob Castillo', avatarUrl: '/bob.svg' };

/** Serves the messenger's page at `/messenger`. */
export function serveMessenger(script: Script): void {
  const html = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Messenger</title>
    <link rel="icon" href="/bob.svg">
    <link rel="stylesheet" href="/messenger.css">
    <script type="module" src="/messenger.js"></script>
  </head>
  <body>
    <header>
      <strong>Bob Castillo</strong>
      <verbatim-call-button chat-id="chat-1" peer-name="Bob Castillo"></verbatim-call-button>
    </header>
    <main><h1>Chat</h1><p><label>Message <input id="message"></label></p></main>
    <verbatim-call-popup></verbatim-call-popup>
  </body>
</html>`;
  script.page('/messenger', { text: html, headers: { 'content-security-policy': STRICT_CSP } });
  script.page('/messenger.css', { text: STYLE });
  script.page('/messenger.js', { text: SCRIPT });
  script.page('/bob.svg', { text: PICTURE });
}

export interface Messenger {
  page: Page;
  errors: string[];
  close(): Promise<void>;
}

/** The messenger's page, signed in, in a browser profile of its own. `query` as in `?locale=de&dir=rtl`. */
export async function openMessenger(
  browser: Browser,
  script: Script,
  options: { query?: string; microphone?: boolean } = {},
): Promise<Messenger> {
  const opened = await newPage(browser, `${script.url}/messenger?${options.query ?? ''}`, options);
  if (!options.query?.includes('client=none')) {
    await opened.page.locator('verbatim-call-button [part=button][aria-disabled=false]').waitFor();
  }
  return opened;
}

/** A call with Bob, as his picture and full name are known. */
export const call = (changes: Partial<CallView> = {}): CallView => callView({ peer: PEER, ...changes });
export const incoming = (changes: Partial<CallView> = {}): CallView => call({ side: 'callee', ...changes });
/** A call that has been active for so many seconds. */
export const active = (seconds: number, changes: Partial<CallView> = {}): CallView =>
  call({
    state: 'active',
    activeAt: new Date(Date.now() - seconds * 1_000).toISOString(),
    recording: changes.mode !== 'voice',
    ...changes,
  });
