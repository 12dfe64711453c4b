import type { Ref } from 'vue';
import { onScopeDispose, ref, watch } from 'vue';
import type { CallView } from '../../sdk/index.ts';

export interface NotificationWords {
  title: string;
  body: string;
}

/** Whether the browser has them at all, and what the person has decided. */
const permission: Ref<NotificationPermission | 'unsupported'> = ref(
  'Notification' in globalThis ? Notification.permission : 'unsupported',
);

export function notificationPermission(): Readonly<Ref<NotificationPermission | 'unsupported'>> {
  return permission;
}

/** Asks the person; only in a click, because nobody likes to be asked out of nowhere. */
export async function askForNotifications(): Promise<void> {
  permission.value = await Notification.requestPermission();
}

/** Tells of a call that rings while the page is out of sight; gone as soon as it no longer rings or is looked at. */
export function useCallNotification(
  incoming: () => CallView | undefined,
  words: (call: CallView) => NotificationWords,
): void {
  let shown: Notification | undefined;
  const close = (): void => {
    shown?.close();
    shown = undefined;
  };
  const show = (): void => {
    const call = incoming();
    if (!document.hidden || call === undefined) {
      close();
      return;
    }
    if (shown || !('Notification' in globalThis) || Notification.permission !== 'granted') return;
    const { title, body } = words(call);
    try {
      shown = new Notification(title, {
        body,
        // One for each call, however many tabs are open.
        tag: `verbatim-${call.callId}`,
        requireInteraction: true,
        ...(call.peer.avatarUrl === undefined ? {} : { icon: call.peer.avatarUrl }),
      });
    } catch {
      // Chromium on Android allows them to service workers only: there the page's own server wakes the phone.
      return;
    }
    shown.onclick = () => {
      window.focus();
      close();
    };
  };
  watch(
    () => incoming()?.callId,
    () => {
      close();
      show();
    },
    { immediate: true },
  );
  document.addEventListener('visibilitychange', show);
  onScopeDispose(() => {
    document.removeEventListener('visibilitychange', show);
    close();
  });
}
