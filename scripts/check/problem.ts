/** One thing that is wrong, where, and what to do about it. */
export interface Problem {
  /** A path from the root, with `:line` where there is one. */
  where: string;
  what: string;
  mend: string;
}

/** A named check of the whole project; `root` is an absolute path. No problems means passed. */
export interface Check {
  name: string;
  run(root: string): Promise<Problem[]>;
}
