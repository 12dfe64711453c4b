import { END_REASON_ADVICE, END_REASONS, ERROR_ADVICE, ERRORS } from '#protocol';

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
      `| \`${code}\` | ${status} | ${rpc} | ${FAULTS[fault]} | ${title} | ${adviceOf(code)} |`,
  );
  return `${[
    '# Errors',
    '',
    '<!-- Generated from core/protocol (errors.ts, advice.ts) by `npm run docs`. -->',
    '',
    'Over HTTP an error is `application/problem+json` (RFC 9457) with the member `code`; over the WebSocket it is a',
    'JSON-RPC 2.0 error with `data.code`. Programs test for the code, people read the title.',
    '',
    '| code | HTTP status | JSON-RPC code | who has to act | title | what to do |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')}\n`;
}

/** Every code has its advice: the compiler sees to it. */
function adviceOf(code: string): string {
  return Object.entries(ERROR_ADVICE).find(([name]) => name === code)?.[1] ?? '';
}

/** The errors that people meet when they call or listen; the rest is between programs. */
const MET = [
  'user_offline',
  'user_busy',
  'already_in_call',
  'answered_elsewhere',
  'consent_required',
  'role_not_allowed',
  'recording_disabled',
  'not_a_direct_chat',
  'busy_server',
  'recorder_unavailable',
  'no_space',
  'evidence_unavailable',
  'recording_not_ready',
  'recording_failed',
  'no_evidence',
  'grant_invalid',
  'origin_refused',
  'unauthorized',
  'token_expired',
  'shutting_down',
] as const;

/** How calls end and what people meet, as two tables: a part of docs/integrate.md (F60). */
export function endingsPart(): string {
  return [
    '| `endReason` | what it means | what to do |',
    '|---|---|---|',
    ...END_REASONS.map((reason) => {
      const { means, todo } = END_REASON_ADVICE[reason];
      return `| \`${reason}\` | ${means} | ${todo} |`;
    }),
    '',
    'What a request is refused with (`error.code`; all: [errors](generated/errors.md)):',
    '',
    '| code | what it means | what to do |',
    '|---|---|---|',
    ...MET.map((code) => `| \`${code}\` | ${ERRORS[code].title}. | ${ERROR_ADVICE[code]} |`),
  ].join('\n');
}
