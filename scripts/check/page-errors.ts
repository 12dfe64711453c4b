import { ERRORS } from '#protocol';

const FAULTS = {
  caller: 'the caller',
  operator: 'the operator',
  remote: 'the other side',
  us: 'Verbatim itself',
} as const;

/** The table of error codes as a Markdown page. */
export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, rpc, fault, title }]) =>
      `| \`${code}\` | ${status} | ${rpc} | ${FAULTS[fault]} | ${title} |`,
  );
  return `${[
    '# Errors',
    '',
    '<!-- Generated from core/protocol/errors.ts by `npm run docs`. -->',
    '',
    'Over HTTP an error is `application/problem+json` (RFC 9457) with the member `code`; over the WebSocket it is a',
    'JSON-RPC 2.0 error with `data.code`. Programs test for the code, people read the title.',
    '',
    '| code | HTTP status | JSON-RPC code | who has to act | title |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n')}\n`;
}
