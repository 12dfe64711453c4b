import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { docOf, expandedType } from './expanded-type.ts';

/**
 * The types of the files that messengers load, one declaration file beside each. What is a type of the sources is
 * taken as the compiler declares it; what is a schema of the protocol is written out, so that nobody needs the schema
 * library; and nothing else is needed than the browser's own types.
 */
interface Bundle {
  /** From `client/types`, and from `client/dist`. */
  file: string;
  entry: string;
  /** Sources whose types are in another of the files, by the path that is imported there. */
  others: readonly [folder: string, specifier: string][];
  about: string;
}

const BUNDLES: readonly Bundle[] = [
  {
    file: 'sdk/verbatim.d.ts',
    entry: 'client/sdk/index.ts',
    others: [],
    about: 'The types of `verbatim.js`, the browser SDK.',
  },
  {
    file: 'sdk/testing.d.ts',
    entry: 'client/sdk/testing.ts',
    others: [['client/sdk/index.ts', './verbatim.js']],
    about: 'The types of `testing.js`, a server in memory for the tests of messengers.',
  },
  {
    file: 'sdk/verbatim-server.d.ts',
    entry: 'client/server/index.ts',
    others: [],
    about: 'The types of `verbatim-server.js`, for the servers of messengers.',
  },
  {
    file: 'ui/verbatim-ui.d.ts',
    entry: 'client/ui/index.ts',
    others: [['client/sdk/index.ts', '../sdk/verbatim.js']],
    about: 'The types of `verbatim-ui.js`, the call elements.',
  },
];

const FOLDER = 'client/types';
const PROTOCOL = 'core/protocol/';
/** Each element: its tag and the component whose properties it has. */
const ELEMENTS = [
  ['verbatim-call-button', 'VerbatimCallButtonElement', 'call-button/call-button.vue'],
  ['verbatim-call-popup', 'VerbatimCallPopupElement', 'call-popup/call-popup.vue'],
  ['verbatim-calls-tab', 'VerbatimCallsTabElement', 'calls-tab/calls-tab.vue'],
] as const;
/** Made here and nowhere on a disk: the elements as the compiler shall see them. */
const ELEMENTS_FILE = 'client/ui/element-types.ts';
/** The same for the protocol's types of each method. */
const TABLES_FILE = 'client/sdk/protocol-tables.ts';

/** Path from the root -> text, for all declaration files. @throws Error when a type cannot be declared */
export function clientDeclarations(root: string): Map<string, string> {
  const program = programOf(root);
  const emitted = new Map<string, ts.SourceFile>();
  /** What the compiler declares of one source, when it is needed. */
  const emittedOf = (path: string): ts.SourceFile => {
    const before = emitted.get(path);
    if (before !== undefined) return before;
    let text = '';
    const source = program.getSourceFile(join(root, path));
    program.emit(source, (_path, written) => (text = written), undefined, true);
    const parsed = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    emitted.set(path, parsed);
    return parsed;
  };
  return new Map(
    BUNDLES.map((bundle) => [
      `${FOLDER}/${bundle.file}`,
      new Writer(root, program, emittedOf, bundle).text(),
    ]),
  );
}

function programOf(root: string): ts.Program {
  const config = ts.readConfigFile(join(root, 'client/tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, join(root, 'client'));
  // That the types are true is a check of its own.
  const all = {
    ...options,
    noEmit: false,
    noCheck: true,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: root,
  };
  const host = ts.createCompilerHost(all);
  const made = new Map([
    [join(root, ELEMENTS_FILE), elementTypes(root)],
    [join(root, TABLES_FILE), protocolTables()],
  ]);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => made.has(path) || fileExists(path);
  host.readFile = (path) => made.get(path) ?? readFile(path);
  host.getSourceFile = (path, language, ...rest) => {
    const text = made.get(path);
    return text === undefined
      ? getSourceFile(path, language, ...rest)
      : ts.createSourceFile(path, text, language, true);
  };
  const roots = [...BUNDLES.map(({ entry }) => join(root, entry)), ...made.keys()];
  return ts.createProgram(roots, all, host);
}

/** One declaration file: what its entry exports, and what that needs. */
class Writer {
  readonly #root: string;
  readonly #checker: ts.TypeChecker;
  readonly #program: ts.Program;
  readonly #emittedOf: (path: string) => ts.SourceFile;
  readonly #bundle: Bundle;
  /** Name -> where it comes from, to notice two that have one name. */
  readonly #names = new Map<string, string>();
  readonly #parts: string[] = [];
  readonly #imported = new Map<string, Set<string>>();

  constructor(root: string, program: ts.Program, emittedOf: (path: string) => ts.SourceFile, bundle: Bundle) {
    this.#root = root;
    this.#program = program;
    this.#checker = program.getTypeChecker();
    this.#emittedOf = emittedOf;
    this.#bundle = bundle;
  }

  text(): string {
    const { entry, about } = this.#bundle;
    const exported = this.#exportsOf(entry).map(({ name, symbol }) => {
      if (this.#take(symbol) !== name) throw new Error(`${entry} exports ${name} under another name`);
      return name;
    });
    if (entry === 'client/ui/index.ts') {
      for (const { symbol } of this.#exportsOf(ELEMENTS_FILE)) exported.push(this.#take(symbol));
      this.#parts.push(globals());
    }
    const imports = [...this.#imported].map(
      ([from, names]) => `import type { ${[...names].sort().join(', ')} } from '${from}';`,
    );
    return `${[
      `// ${about}`,
      '// Generated from the sources by `npm run docs`.',
      ...imports,
      '',
      ...this.#parts,
      `export { ${exported.sort().join(', ')} };`,
    ].join('\n')}\n`;
  }

  #exportsOf(path: string): { name: string; symbol: ts.Symbol }[] {
    const source = this.#program.getSourceFile(join(this.#root, path));
    const module = source && this.#checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${path} is no module`);
    return this.#checker
      .getExportsOfModule(module)
      .map((symbol) => ({ name: symbol.name, symbol: this.#original(symbol) }));
  }

  #original(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(symbol) : symbol;
  }

  /** Writes what this symbol is, once. Answers the name by which it goes here. */
  #take(symbol: ts.Symbol): string {
    const { name } = symbol;
    const path = relative(this.#root, symbol.declarations?.[0]?.getSourceFile().fileName ?? '');
    const before = this.#names.get(name);
    if (before !== undefined && before !== path) throw new Error(`${name} is in ${before} and in ${path}`);
    if (before !== undefined) return name;
    this.#names.set(name, path);
    const elsewhere = this.#bundle.others.find(([entry]) =>
      this.#exportsOf(entry).some((one) => one.symbol === symbol),
    );
    if (elsewhere !== undefined) {
      const names = this.#imported.get(elsewhere[1]) ?? new Set();
      this.#imported.set(elsewhere[1], names.add(name));
    } else if (path.startsWith(PROTOCOL)) this.#writeSchema(symbol);
    else this.#writeDeclaration(path, name);
    return name;
  }

  /** A type of the protocol, written out. */
  #writeSchema(symbol: ts.Symbol): void {
    const declaration = symbol.declarations?.find(ts.isTypeAliasDeclaration);
    if (declaration === undefined) throw new Error(`${symbol.name} of the protocol is no type`);
    const named = (type: ts.Type): string | undefined => this.#protocolName(type, symbol);
    const write = (type: ts.Type): string => expandedType(this.#checker, type, named);
    const doc = docOf(ts.displayPartsToString(symbol.getDocumentationComment(this.#checker)));
    const [parameter] = declaration.typeParameters ?? [];
    if (parameter === undefined) {
      const type = this.#checker.getDeclaredTypeOfSymbol(symbol);
      this.#parts.push(`${doc}type ${symbol.name} = ${write(type)};\n`);
      return;
    }
    // What belongs to a method or a notification: the table of all of them, indexed by the name.
    const table = this.#exportsOf(TABLES_FILE).find(({ name }) => name === symbol.name)?.symbol;
    const limit = parameter.constraint?.getText();
    const limits = this.#exportsOf('core/protocol/index.ts').find(({ name }) => name === limit)?.symbol;
    if (table === undefined || limits === undefined) throw new Error(`${symbol.name} has no table`);
    const head = `${symbol.name}<Name extends ${this.#take(limits)}>`;
    const text = write(this.#checker.getDeclaredTypeOfSymbol(table));
    this.#parts.push(`${doc}type ${head} = ${text}[Name];\n`);
  }

  /** The name of a type that the protocol exports, which is then taken too. */
  #protocolName(type: ts.Type, except: ts.Symbol): string | undefined {
    if (!(type.flags & ts.TypeFlags.Object) && !type.isUnion()) return undefined;
    const found = this.#protocolTypes().get(type);
    return found === undefined || found === except ? undefined : this.#take(found);
  }

  #byType: Map<ts.Type, ts.Symbol> | undefined;

  #protocolTypes(): Map<ts.Type, ts.Symbol> {
    this.#byType ??= new Map(
      this.#exportsOf('core/protocol/index.ts').flatMap(({ symbol }) =>
        symbol.declarations?.some((each) => ts.isTypeAliasDeclaration(each) && !each.typeParameters)
          ? [[this.#checker.getDeclaredTypeOfSymbol(symbol), symbol] as const]
          : [],
      ),
    );
    return this.#byType;
  }

  /** A declaration as the compiler emitted it, after what it needs. */
  #writeDeclaration(path: string, name: string): void {
    const source = this.#emittedOf(path);
    const found = source.statements.filter((each) => namesOf(each).includes(name));
    if (found.length === 0) throw new Error(`${path} declares no ${name}`);
    const scope = this.#scopeOf(path);
    const visit = (node: ts.Node): void => {
      const reference = referenceOf(node);
      const symbol = reference === undefined ? undefined : scope.get(reference);
      if (symbol !== undefined && symbol.name !== name) this.#take(symbol);
      ts.forEachChild(node, visit);
    };
    for (const statement of found) {
      ts.forEachChild(statement, visit);
      const docs = (ts.getLeadingCommentRanges(source.text, statement.pos) ?? [])
        .map(({ pos, end }) => source.text.slice(pos, end))
        .filter((text) => text.startsWith('/**'));
      const text = statement.getText(source).replace(/^export (default )?/, '');
      this.#parts.push(`${[...docs.slice(-1), text].join('\n')}\n`);
    }
  }

  /** What the names of a source mean there: its own and what it imports, not what every page has. */
  #scopeOf(path: string): Map<string, ts.Symbol> {
    const source = this.#program.getSourceFile(join(this.#root, path));
    if (source === undefined) throw new Error(`${path} is not among the sources`);
    const flags = ts.SymbolFlags.Type | ts.SymbolFlags.Value | ts.SymbolFlags.Alias;
    return new Map(
      this.#checker
        .getSymbolsInScope(source, flags)
        .filter((symbol) => symbol.declarations?.some((each) => each.getSourceFile() === source))
        .map((symbol) => [symbol.name, this.#original(symbol)]),
    );
  }
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  const named =
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isFunctionDeclaration(statement);
  return named && statement.name ? [statement.name.text] : [];
}

/** The name that a node of a declaration refers to, if it refers to one. */
function referenceOf(node: ts.Node): string | undefined {
  const name = ts.isTypeReferenceNode(node)
    ? node.typeName
    : ts.isTypeQueryNode(node)
      ? node.exprName
      : ts.isExpressionWithTypeArguments(node)
        ? node.expression
        : undefined;
  if (name === undefined) return undefined;
  return ts.isIdentifier(name) ? name.text : name.getText().split('.')[0];
}

/** What belongs to each method and notification, as tables that can be written out. */
function protocolTables(): string {
  return [
    "import type * as protocol from '#protocol';",
    'export type Params = { [N in protocol.Method]: protocol.Params<N> };',
    'export type Result = { [N in protocol.Method]: protocol.Result<N> };',
    'export type NotificationParams = { [N in protocol.NotificationName]: protocol.NotificationParams<N> };',
  ].join('\n');
}

/** The elements as types: the properties of each component, and the events that pages hear. */
function elementTypes(root: string): string {
  const imports = new Set<string>(["import type { ElementEvents } from './parts/host.ts';"]);
  const parts = ELEMENTS.map(([tag, type, component]) => {
    const path = join(root, 'client/ui', component);
    const script =
      /<script setup lang="ts">\n([\s\S]*?)<\/script>/.exec(readFileSync(path, 'utf8'))?.[1] ?? '';
    const source = ts.createSourceFile(path, script, ts.ScriptTarget.Latest, true);
    const props = propsOf(source);
    const needed = new Set<string>();
    const visit = (node: ts.Node): void => {
      const reference = referenceOf(node);
      if (reference !== undefined) needed.add(reference);
      ts.forEachChild(node, visit);
    };
    visit(props);
    for (const statement of source.statements) {
      if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) continue;
      const names = statement.importClause?.namedBindings;
      if (names === undefined || !ts.isNamedImports(names)) continue;
      const from = join(dirname(component), statement.moduleSpecifier.text);
      for (const { name } of names.elements)
        if (needed.has(name.text))
          imports.add(`import type { ${name.text} } from '${from.startsWith('.') ? from : `./${from}`}';`);
    }
    const rows = props.members.map((member) => {
      if (!ts.isPropertySignature(member) || member.type === undefined)
        throw new Error(`${component}: a property`);
      const [doc] = ts.getJSDocCommentsAndTags(member).map((each) => `  ${each.getText(source)}\n`);
      return `${doc ?? ''}  ${member.name.getText(source)}: ${member.type.getText(source)} | undefined;`;
    });
    return `/** \`<${tag}>\` */\nexport interface ${type} extends HTMLElement {\n${rows.join('\n')}\n}`;
  });
  return [
    ...imports,
    ...parts,
    '/** What the elements tell the page: `document.addEventListener(…)` hears it too. */',
    'export type VerbatimEventMap = { [N in keyof ElementEvents]: CustomEvent<ElementEvents[N]> };',
  ].join('\n');
}

function propsOf(source: ts.SourceFile): ts.TypeLiteralNode {
  let found: ts.TypeLiteralNode | undefined;
  const visit = (node: ts.Node): void => {
    const [type] = (ts.isCallExpression(node) && node.typeArguments) || [];
    if (type && ts.isTypeLiteralNode(type) && node.getText(source).startsWith('defineProps')) found ??= type;
    ts.forEachChild(node, visit);
  };
  visit(source);
  if (found === undefined) throw new Error(`${source.fileName} has no properties`);
  return found;
}

function globals(): string {
  const rows = ELEMENTS.map(([tag, type]) => `    '${tag}': ${type};`);
  return [
    'declare global {',
    '  interface HTMLElementTagNameMap {',
    ...rows,
    '  }',
    '  interface GlobalEventHandlersEventMap extends VerbatimEventMap {}',
    '}',
    '',
  ].join('\n');
}
