/** RFC 1123: what VMs and namespaces may be called. Apart from the schemas, which load slowly, for novactl. */
export const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export const DNS_LABEL_RULE =
  '1 to 63 lower-case letters, digits or hyphens, with a letter or digit at both ends';
