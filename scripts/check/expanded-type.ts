import ts from 'typescript';

/**
 * A type of plain data written out: objects, lists, unions, literals. `named` gives the name of a type that goes by one.
 * @throws Error for anything that is no plain data
 */
export function expandedType(
  checker: ts.TypeChecker,
  type: ts.Type,
  named: (type: ts.Type) => string | undefined,
  indent = '',
): string {
  const write = (each: ts.Type): string => named(each) ?? expandedType(checker, each, named, `${indent}  `);
  if (type.isStringLiteral()) return quoted(type.value);
  if (type.isNumberLiteral()) return String(type.value);
  if (type.isUnion()) return union(type.types, write);
  if (type.flags & SIMPLE) return checker.typeToString(type);
  if (checker.isArrayType(type)) {
    const [item] = checker.getTypeArguments(type as ts.TypeReference);
    if (item === undefined) throw new Error('a list of nothing');
    const text = write(item);
    return item.isUnion() && named(item) === undefined ? `(${text})[]` : `${text}[]`;
  }
  if (!(type.flags & ts.TypeFlags.Object) && !type.isIntersection()) {
    throw new Error(`${checker.typeToString(type)} is no plain data`);
  }
  const index = checker.getIndexInfoOfType(type, ts.IndexKind.String);
  if (index !== undefined) return `Record<string, ${write(index.type)}>`;
  const inner = `${indent}  `;
  // In the order of the schema: the compiler's own depends on what it saw first.
  const places = (property: ts.Symbol): number => property.declarations?.[0]?.pos ?? 0;
  const properties = checker.getPropertiesOfType(type).toSorted((a, b) => places(a) - places(b));
  const rows = properties.map((property) => {
    const optional = (property.flags & ts.SymbolFlags.Optional) !== 0;
    const own = checker.getTypeOfSymbol(property);
    const doc = docOf(ts.displayPartsToString(property.getDocumentationComment(checker)), inner);
    const name = /^[A-Za-z_]\w*$/.test(property.name) ? property.name : quoted(property.name);
    return `${doc}${inner}${name}${optional ? '?' : ''}: ${write(optional ? checker.getNonNullableType(own) : own)};`;
  });
  return rows.length === 0 ? 'Record<string, never>' : `{\n${rows.join('\n')}\n${indent}}`;
}

const SIMPLE =
  ts.TypeFlags.String |
  ts.TypeFlags.Number |
  ts.TypeFlags.Boolean |
  ts.TypeFlags.BooleanLiteral |
  ts.TypeFlags.Null |
  ts.TypeFlags.Undefined |
  ts.TypeFlags.NonPrimitive |
  ts.TypeFlags.Unknown;

function union(types: readonly ts.Type[], write: (type: ts.Type) => string): string {
  // Sorted, because the compiler's order depends on what it saw first; `boolean` is two literals for it.
  const texts = types.map(write).sort();
  const both = texts.includes('true') && texts.includes('false');
  const rest = both ? texts.filter((text) => text !== 'true' && text !== 'false') : texts;
  return [...rest, ...(both ? ['boolean'] : [])].join(' | ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "\\'")}'`;
}

/** A comment as it stands above what it is about; nothing for an empty one. */
export function docOf(text: string, indent = ''): string {
  const lines = text.trim().split('\n');
  if (lines.length > 1)
    return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join('')}${indent} */\n`;
  return lines[0] ? `${indent}/** ${lines[0]} */\n` : '';
}
