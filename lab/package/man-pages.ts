/** Pages by file name, such as `novactl.1`. */
export async function renderManPages(version: string): Promise<Readonly<Record<string, string>>> {
  return Promise.resolve({});
}
