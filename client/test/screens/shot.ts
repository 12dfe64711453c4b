import type { Browser } from 'playwright-core';

/** How a page is looked at. */
export interface Look {
  name: string;
  colorScheme: 'light' | 'dark';
  width: number;
  height: number;
}

export const LOOKS: readonly Look[] = [
  { name: 'light-wide', colorScheme: 'light', width: 1280, height: 800 },
  { name: 'light-narrow', colorScheme: 'light', width: 320, height: 640 },
  { name: 'dark-wide', colorScheme: 'dark', width: 1280, height: 800 },
  { name: 'dark-narrow', colorScheme: 'dark', width: 320, height: 640 },
];

/** One picture of one state. */
export interface Shot {
  name: string;
  /** On the contact sheet. */
  main?: boolean;
  /** A PNG. `client` is the folder of the built client. */
  take(browser: Browser, client: string, look: Look): Promise<Uint8Array>;
  /** Of what was opened for the shots. */
  close?(): Promise<void>;
}
