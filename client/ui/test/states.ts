import type { Page } from 'playwright-core';
import { DISCLOSURE, Refusal } from '../../test/scripted-server.ts';
import type { Script } from './messenger.ts';
import { active, call, incoming } from './messenger.ts';

/** For tests and pictures: every state of button and popup, as a person and the server bring it about. */
export interface State {
  name: string;
  /** Of the messenger's page. */
  query?: string;
  /** False: the browser refuses it. */
  microphone?: boolean;
  /** Of the few that show what the elements are like. */
  main?: boolean;
  show(page: Page, script: Script): Promise<void>;
}

/** A text as an operator writes it; its SHA-256 by sha256sum. */
export const LONG_DISCLOSURE = {
  ...DISCLOSURE,
  text: 'This call is recorded. Both of you receive the same recording, which neither of you can change or delete. It is kept on the server of this organisation for as long as its rules say.',
  sha256: '8ee6d4184ae1e95f60e6eca6bb57db8da215a606ffd2152f20aba426990cabeb',
};

const press = (page: Page, name: string): Promise<void> => page.locator(`[part="${name}"]`).click();

async function openMenu(page: Page): Promise<void> {
  await press(page, 'button');
  await page.locator('[part=menu]').waitFor();
}

export async function startVoice(page: Page): Promise<void> {
  await openMenu(page);
  await page.locator('[part=menu-item][data-mode=voice]').click();
}

export async function openConsent(page: Page): Promise<void> {
  await openMenu(page);
  await page.locator('[part=menu-item][data-mode=secure]').click();
  await page.locator('[part=consent]').waitFor();
}

export async function startSecure(page: Page): Promise<void> {
  await openConsent(page);
  await page.locator('[part=consent-agree]:enabled').click();
}

const phase = (page: Page, name: string): Promise<void> => page.locator(`[data-phase=${name}]`).waitFor();
const ended = (page: Page, reason: string): Promise<void> =>
  page.locator(`[data-reason=${reason}]`).waitFor();

async function ring(page: Page, script: Script, changes: Parameters<typeof incoming>[0]): Promise<void> {
  script.notify('call.incoming', { call: incoming(changes) });
  await page.locator('[data-view=incoming]').waitFor();
}

/** A secure call that was active for a while. */
export async function record(
  page: Page,
  script: Script,
  changes: Parameters<typeof active>[1] = {},
): Promise<void> {
  await startSecure(page);
  await phase(page, 'calling');
  script.notify('call.changed', { call: active(754, changes) });
}

async function talk(page: Page, script: Script, changes: Parameters<typeof active>[1] = {}): Promise<void> {
  script.on('call.start', () => call({ mode: 'voice' }));
  await startVoice(page);
  await phase(page, 'calling');
  script.notify('call.changed', { call: active(83, { mode: 'voice', ...changes }) });
  await phase(page, 'inCall');
}

const endAs = (name: string, endReason: NonNullable<ReturnType<typeof call>['endReason']>): State => ({
  name,
  async show(page, script) {
    script.on('call.start', () => call({ mode: 'voice' }));
    await startVoice(page);
    await phase(page, 'calling');
    script.notify('call.ended', { call: call({ mode: 'voice', state: 'ended', endReason }) });
    await ended(page, endReason);
  },
});

export const STATES: readonly State[] = [
  { name: 'idle', show: async () => {} },
  { name: 'menu', main: true, show: openMenu },
  {
    name: 'offline',
    async show(page, script) {
      script.on('session.start', () => new Refusal('unavailable'));
      script.drop();
      await page.locator('[part=button][aria-disabled=true]').waitFor();
    },
  },
  {
    name: 'consent',
    main: true,
    async show(page) {
      await openConsent(page);
      await page.locator('[part=consent-agree]:enabled').waitFor();
    },
  },
  {
    name: 'consent-guidance',
    async show(page) {
      await openConsent(page);
      await page.locator('[part=consent-agree]:enabled').waitFor();
      await page.locator('[part=guidance] summary').click();
    },
  },
  {
    name: 'consent-error',
    async show(page, script) {
      script.on('disclosure.get', () => new Refusal('unavailable'));
      await openConsent(page);
      await page.locator('[part=failure]').waitFor();
    },
  },
  {
    name: 'microphone',
    async show(page, script) {
      script.on('call.start', () => undefined);
      await startVoice(page);
      await phase(page, 'microphone');
    },
  },
  {
    name: 'calling',
    main: true,
    async show(page, script) {
      script.on('call.start', () => call({ mode: 'voice' }));
      await startVoice(page);
      await phase(page, 'calling');
    },
  },
  {
    name: 'connecting',
    async show(page, script) {
      await startSecure(page);
      script.notify('call.changed', { call: call({ state: 'connecting' }) });
      await phase(page, 'connecting');
    },
  },
  { name: 'in-call', main: true, show: (page, script) => talk(page, script) },
  {
    name: 'muted',
    async show(page, script) {
      await talk(page, script, { peerMuted: true });
      await press(page, 'mute');
      await page.locator('[part=mute][aria-pressed=true]').waitFor();
    },
  },
  {
    name: 'recording',
    main: true,
    async show(page, script) {
      await record(page, script);
      await phase(page, 'recording');
    },
  },
  {
    name: 'devices',
    main: true,
    async show(page, script) {
      await record(page, script);
      await phase(page, 'recording');
      await press(page, 'choose-devices');
      await page.locator('[part=devices]').waitFor();
    },
  },
  {
    name: 'interrupted',
    main: true,
    async show(page, script) {
      await record(page, script);
      await phase(page, 'recording');
      script.notify('call.changed', { call: active(756, { recording: false }) });
      await phase(page, 'interrupted');
    },
  },
  {
    name: 'reconnecting',
    async show(page, script) {
      await record(page, script);
      await phase(page, 'recording');
      // Cut off while its media is being built, the call would end.
      await script.next('media.produce');
      script.notify('call.changed', { call: active(755, { peerMuted: true }) });
      await page.locator('[part=peer-muted]').waitFor();
      script.on('session.start', () => new Refusal('unavailable'));
      script.drop();
      await phase(page, 'reconnecting');
    },
  },
  {
    name: 'small',
    main: true,
    async show(page, script) {
      await record(page, script);
      await phase(page, 'recording');
      await press(page, 'minimise');
      await page.locator('[part=expand]').waitFor();
    },
  },
  { name: 'incoming', main: true, show: (page, script) => ring(page, script, { mode: 'voice' }) },
  {
    name: 'incoming-secure',
    main: true,
    async show(page, script) {
      await ring(page, script, {});
      await page.locator('[part=accept]:enabled').waitFor();
    },
  },
  {
    name: 'incoming-no-microphone',
    microphone: false,
    async show(page, script) {
      await ring(page, script, { mode: 'voice' });
      await press(page, 'accept');
      await page.locator('[data-code=microphone_denied]').waitFor();
    },
  },
  {
    name: 'no-microphone',
    main: true,
    microphone: false,
    async show(page) {
      await startVoice(page);
      await ended(page, 'microphone_denied');
    },
  },
  {
    name: 'missed',
    main: true,
    async show(page, script) {
      await ring(page, script, { mode: 'voice' });
      script.notify('call.ended', {
        call: incoming({ mode: 'voice', state: 'ended', endReason: 'no_answer' }),
      });
      await ended(page, 'no_answer');
    },
  },
  {
    name: 'answered-elsewhere',
    async show(page, script) {
      await ring(page, script, { mode: 'voice' });
      const call = incoming({ mode: 'voice', state: 'ended', endReason: 'answered_elsewhere' });
      script.notify('call.ended', { call });
      await ended(page, 'answered_elsewhere');
    },
  },
  {
    name: 'user-offline',
    main: true,
    async show(page, script) {
      script.on('call.start', () => new Refusal('user_offline'));
      await startVoice(page);
      await ended(page, 'user_offline');
    },
  },
  endAs('declined', 'declined'),
  endAs('busy', 'busy'),
  endAs('no-answer', 'no_answer'),
  {
    name: 'ended',
    async show(page, script) {
      await talk(page, script);
      await press(page, 'hangup');
      await ended(page, 'hangup');
    },
  },
  {
    name: 'german',
    query: 'locale=de',
    async show(page, script) {
      await record(page, script);
      await phase(page, 'recording');
      await press(page, 'choose-devices');
      await page.locator('[part=devices]').waitFor();
    },
  },
  {
    name: 'right-to-left',
    query: 'dir=rtl',
    async show(page, script) {
      await record(page, script, { peerMuted: true });
      await phase(page, 'recording');
      await press(page, 'choose-devices');
      await page.locator('[part=devices]').waitFor();
    },
  },
];
