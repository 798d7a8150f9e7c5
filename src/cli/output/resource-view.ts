import type { Document } from './documents.ts';

/** How one kind of object is shown. */
export interface ResourceView<T> {
  readonly columns: readonly Column<T>[];
  document(item: T): Document;
  /** What commands take to mean this object. */
  name(item: T): string;
}

export interface Column<T> {
  readonly header: string;
  /** Shown with `-o wide` only. */
  readonly wide?: boolean;
  /** Left out of a table that is wider than the terminal; the highest goes first. Others stay. */
  readonly spare?: number;
  value(item: T): string;
}
