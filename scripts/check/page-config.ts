import { SETTINGS } from '#config';

/** The table of settings as a Markdown page; config/sample.yaml says more about each. */
export function configPage(): string {
  const rows = SETTINGS.map(({ path, envName, schema, default: fallback }) => {
    const shown = fallback === undefined ? '' : `\`${JSON.stringify(fallback)}\``;
    return `| \`${path}\` | \`${envName}\` | ${schema.expected.replaceAll('|', '\\|')} | ${shown} |`;
  });
  return `${[
    '# Settings',
    '',
    '<!-- Generated from config/schema.ts by `npm run docs`. -->',
    '',
    'The environment wins over the file, the file over the defaults. What each setting does is explained in',
    '[config/sample.yaml](../../config/sample.yaml). There are no secrets among them: those are generated on the first',
    'start, into `secrets/` of the data folder.',
    '',
    '| key | environment | expected | default |',
    '|---|---|---|---|',
    ...rows,
  ].join('\n')}\n`;
}
