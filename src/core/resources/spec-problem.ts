/** Something wrong with a spec that no single field shows. */
export interface SpecProblem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}
