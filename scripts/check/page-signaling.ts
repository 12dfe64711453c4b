import ts from 'typescript';
import { CLOSE_CODES, METHODS, NOTIFICATIONS, SIGNALING_LIMITS } from '#protocol';
import { typeText } from './schema-text.ts';

/**
 * The signaling protocol as a Markdown page. `source` is the text of core/protocol/signaling.ts: the sentences
 * about notifications and limits are its comments.
 */
export function signalingPage(source: string): string {
  const about = commentsOf(source, ['NOTIFICATIONS', 'SIGNALING_LIMITS', 'CLOSE_CODES']);
  const methods = Object.entries(METHODS).flatMap(([name, { summary, params, result }]) => [
    `### \`${name}\``,
    '',
    summary,
    '',
    '```ts',
    `params: ${typeText(params)}`,
    `result: ${typeText(result)}`,
    '```',
    '',
  ]);
  const notifications = Object.entries(NOTIFICATIONS).flatMap(([name, params]) => [
    `### \`${name}\``,
    '',
    about.get(`NOTIFICATIONS.${name}`) ?? '',
    '',
    '```ts',
    `params: ${typeText(params)}`,
    '```',
    '',
  ]);
  const limits = Object.entries(SIGNALING_LIMITS).map(
    ([name, value]) => `| \`${name}\` | ${value} | ${about.get(`SIGNALING_LIMITS.${name}`) ?? ''} |`,
  );
  const closeCodes = Object.entries(CLOSE_CODES).map(
    ([name, { code, retry }]) =>
      `| ${code} | \`${name}\` | ${about.get(`CLOSE_CODES.${name}`) ?? ''} | ${retry ? 'yes' : 'no'} |`,
  );
  return `${[
    '# Signaling',
    '',
    '<!-- Generated from core/protocol/signaling.ts by `npm run docs`. -->',
    '',
    'JSON-RPC 2.0 over one WebSocket at `/v1/signaling`. The first message is `session.start` with the user token.',
    'Requests go from client to server; the server sends notifications only. The errors are in [errors.md](errors.md).',
    'Requests about a call and its media are worked on in the order they came, so the next may be sent before the',
    'answer to the one before; `call.hangup`, `call.cancel` and `call.decline` never wait in that line. No notification',
    'comes before the answer to `session.start`. Batches are refused; client notifications are ignored.',
    '',
    '## Methods',
    '',
    ...methods,
    '## Notifications',
    '',
    ...notifications,
    '## Limits',
    '',
    '| name | value | what it is |',
    '|---|---|---|',
    ...limits,
    '',
    '## Close codes',
    '',
    'The server says `session.closing` first, with the name as its `code`; the name is also the reason of the close',
    'frame. A socket that is cut because its reader is too slow or dead gets neither.',
    '',
    '| code | name | what it is | come back by itself |',
    '|---|---|---|---|',
    ...closeCodes,
  ].join('\n')}\n`;
}

/** The JSDoc sentences above the properties of these constants, by `CONSTANT.property`. */
function commentsOf(source: string, constants: readonly string[]): Map<string, string> {
  const file = ts.createSourceFile('signaling.ts', source, ts.ScriptTarget.Latest, true);
  const found = new Map<string, string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAssignment(node) && (ts.isIdentifier(node.name) || ts.isStringLiteral(node.name))) {
      const owner = constantOf(node);
      const text = ts
        .getJSDocCommentsAndTags(node)
        .map((doc) => ts.getTextOfJSDocComment(doc.comment) ?? '')
        .join(' ')
        .replaceAll(/\s+/g, ' ')
        .trim();
      if (owner && constants.includes(owner) && text !== '') found.set(`${owner}.${node.name.text}`, text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** The name of the constant whose object literal this property stands in directly. */
function constantOf(property: ts.PropertyAssignment): string | undefined {
  let node: ts.Node = property.parent.parent;
  while (ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) node = node.parent;
  return ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) ? node.name.text : undefined;
}
