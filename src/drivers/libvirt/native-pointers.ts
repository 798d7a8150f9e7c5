/* Pointers of libvirt, by what they lead to. */

declare const pointee: unique symbol;
type Pointer<Name extends string> = bigint & { readonly [pointee]: Name };

export type ConnectPointer = Pointer<'virConnect'>;
export type DomainPointer = Pointer<'virDomain'>;
export type StatsListPointer = Pointer<'virDomainStatsRecordPtr[]'>;
export type DomainListPointer = Pointer<'virDomainPtr[]'>;
export type SecretPointer = Pointer<'virSecret'>;
export type SecretListPointer = Pointer<'virSecretPtr[]'>;
export type TypedParametersPointer = Pointer<'virTypedParameter[]'>;
export type InterfaceListPointer = Pointer<'virDomainInterfacePtr[]'>;
export type CallbackPointer = Pointer<'callback'>;
export type StreamPointer = Pointer<'virStream'>;
