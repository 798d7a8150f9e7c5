import {
  CheckIncomingRequest,
  type CheckIncomingResponse,
  CompareImagesRequest,
  type CompareImagesResponse,
  type DeepPartial,
  GetIncomingRequest,
  type GetIncomingResponse,
  HandOverVirtualMachineRequest,
  type HandOverVirtualMachineResponse,
  HandshakeRequest,
  type HandshakeResponse,
  LocateVirtualMachineRequest,
  type LocateVirtualMachineResponse,
  PeerServiceService,
  PrepareIncomingRequest,
  type PrepareIncomingResponse,
  ReleaseIncomingRequest,
  type ReleaseIncomingResponse,
  ReportProgressRequest,
  type ReportProgressResponse,
} from '../gen/novacron/peer/v1/peer.ts';
import type { CallOptions, Connection } from './connection.ts';

/** The calls of PeerService, which agents make to each other. */
export class PeerCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  handshake(
    request: DeepPartial<HandshakeRequest>,
    options: CallOptions,
  ): Promise<HandshakeResponse> {
    return this.#connection.unary(
      PeerServiceService.handshake,
      HandshakeRequest.create(request),
      options,
    );
  }

  checkIncoming(
    request: DeepPartial<CheckIncomingRequest>,
    options: CallOptions,
  ): Promise<CheckIncomingResponse> {
    return this.#connection.unary(
      PeerServiceService.checkIncoming,
      CheckIncomingRequest.create(request),
      options,
    );
  }

  compareImages(
    request: DeepPartial<CompareImagesRequest>,
    options: CallOptions,
  ): Promise<CompareImagesResponse> {
    return this.#connection.unary(
      PeerServiceService.compareImages,
      CompareImagesRequest.create(request),
      options,
    );
  }

  prepareIncoming(
    request: DeepPartial<PrepareIncomingRequest>,
    options: CallOptions,
  ): Promise<PrepareIncomingResponse> {
    return this.#connection.unary(
      PeerServiceService.prepareIncoming,
      PrepareIncomingRequest.create(request),
      options,
    );
  }

  getIncoming(
    request: DeepPartial<GetIncomingRequest>,
    options: CallOptions,
  ): Promise<GetIncomingResponse> {
    return this.#connection.unary(
      PeerServiceService.getIncoming,
      GetIncomingRequest.create(request),
      options,
    );
  }

  reportProgress(
    request: DeepPartial<ReportProgressRequest>,
    options: CallOptions,
  ): Promise<ReportProgressResponse> {
    return this.#connection.unary(
      PeerServiceService.reportProgress,
      ReportProgressRequest.create(request),
      options,
    );
  }

  releaseIncoming(
    request: DeepPartial<ReleaseIncomingRequest>,
    options: CallOptions,
  ): Promise<ReleaseIncomingResponse> {
    return this.#connection.unary(
      PeerServiceService.releaseIncoming,
      ReleaseIncomingRequest.create(request),
      options,
    );
  }

  locateVirtualMachine(
    request: DeepPartial<LocateVirtualMachineRequest>,
    options: CallOptions,
  ): Promise<LocateVirtualMachineResponse> {
    return this.#connection.unary(
      PeerServiceService.locateVirtualMachine,
      LocateVirtualMachineRequest.create(request),
      options,
    );
  }

  handOverVirtualMachine(
    request: DeepPartial<HandOverVirtualMachineRequest>,
    options: CallOptions,
  ): Promise<HandOverVirtualMachineResponse> {
    return this.#connection.unary(
      PeerServiceService.handOverVirtualMachine,
      HandOverVirtualMachineRequest.create(request),
      options,
    );
  }
}
