/** A style sheet as text: the build reads and shrinks it. */
declare module '*.css?inline' {
  const text: string;
  export default text;
}
