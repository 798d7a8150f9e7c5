/** What of a domain's metadata is the agents': apart from how it is written, so that who only looks for it need not load that. */
export const METADATA_NAMESPACE = 'https://novacron.io/xmlns/vm/1';
export const METADATA_PREFIX = 'novacron';
