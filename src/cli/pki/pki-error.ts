/** What cannot be done with certificates, and what to do about it. */
export class PkiError extends Error {
  override readonly name = 'PkiError';

  constructor(what: string, toDo: string, options?: ErrorOptions) {
    super(`${what}\nWhat to do: ${toDo}`, options);
  }
}
