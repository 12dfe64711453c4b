import type { Script } from '../../ui/test/messenger.ts';
import { call, incoming, openMessenger, serveMessenger } from '../../ui/test/messenger.ts';
import { LONG_DISCLOSURE, STATES } from '../../ui/test/states.ts';
import { startScript } from '../scripted-server.ts';
import type { Shot } from './shot.ts';

let opened: Promise<Script> | undefined;

/** Button and popup on a plain page, against a server that says what each state needs. */
export const CALL_SHOTS: readonly Shot[] = STATES.map((state) => ({
  name: `call-${state.name}`,
  ...(state.main ? { main: true } : {}),
  async take(browser, client, { colorScheme, width, height }) {
    opened ??= startScript(client);
    const script = await opened;
    serveMessenger(script);
    script.reset();
    script.on('disclosure.get', () => LONG_DISCLOSURE);
    script.on('call.start', () => call());
    script.on('call.accept', () => incoming({ state: 'connecting' }));
    const { page, close } = await openMessenger(browser, script, state);
    try {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height });
      await state.show(page, script);
      return await page.screenshot({ animations: 'disabled' });
    } finally {
      await close();
    }
  },
  async close() {
    const script = opened;
    opened = undefined;
    await (await script)?.close();
  },
}));
