/** A DNS name in small letters, as Kubernetes takes for nodes (RFC 1123), of up to 253 characters. */
export const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
