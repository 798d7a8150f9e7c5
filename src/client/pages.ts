/** Large enough that few calls are needed, small enough for a message. */
const PAGE_SIZE = 500;

/** Every page of a list. */
export async function* allPages<Page extends { readonly nextPageToken: string }>(
  list: (part: { readonly pageSize: number; readonly pageToken: string }) => Promise<Page>,
): AsyncGenerator<Page, void, undefined> {
  let pageToken = '';
  do {
    const page = await list({ pageSize: PAGE_SIZE, pageToken });
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}
