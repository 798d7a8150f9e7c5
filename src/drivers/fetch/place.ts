import type { Authorization } from './authorization.ts';

/** Where a content is asked for, and as whom. */
export interface Place {
  /** As whoever wants it has it, for messages. */
  readonly url: URL;
  /** Who is asked first; `url` itself, unless that is of no protocol of curl's. */
  readonly at: URL;
  /** Asked for each time, as what a registry gives out ends soon. Shown to who is asked first, and to nobody it redirects to. */
  readonly authorize?: ((signal: AbortSignal) => Promise<Authorization | undefined>) | undefined;
}
