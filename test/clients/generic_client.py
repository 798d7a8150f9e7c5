"""Learns the API from the agent alone, and uses it; prints what it has learned as JSON.

usage: generic_client.py ADDRESS [CA CERTIFICATE KEY SERVER_NAME]
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

TIMEOUT_S = 20


def read(path):
    with open(path, "rb") as file:
        return file.read()


def open_channel(address, ca=None, certificate=None, key=None, server_name=None):
    if ca is None:
        return grpc.insecure_channel(address)
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    options = [("grpc.ssl_target_name_override", server_name)]
    return grpc.secure_channel(address, credentials, options)


class GenericClient:
    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self):
        return sorted(self.database.get_services())

    def methods(self, service):
        return sorted(m.name for m in self.pool.FindServiceByName(service).methods)

    def call(self, service, name, **fields):
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        stub = make(
            f"/{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub(json_format.ParseDict(fields, request()), timeout=TIMEOUT_S)

    def details(self, error):
        """The details of a failed call, each of the type that it names."""
        metadata = dict(error.trailing_metadata())
        status = message_factory.GetMessageClass(
            self.pool.FindMessageTypeByName("google.rpc.Status")
        ).FromString(metadata["grpc-status-details-bin"])
        found = []
        for detail in status.details:
            name = detail.type_url.split("/")[-1]
            message = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))()
            detail.Unpack(message)
            found.append({name: json_format.MessageToDict(message)})
        return found


def main():
    vms = "novacron.agent.v1.VirtualMachineService"
    with open_channel(*sys.argv[1:]) as channel:
        client = GenericClient(channel)
        listed = client.call(vms, "ListVirtualMachines")
        try:
            client.call(vms, "GetVirtualMachine", ref={"name": "nothing"})
            raise SystemExit("GetVirtualMachine of a VM that is not there has not failed")
        except grpc.RpcError as error:
            code, details = error.code().name, client.details(error)
        watch = client.call(vms, "WatchVirtualMachines")
        event = json_format.MessageToDict(next(watch))
        watch.cancel()
        health = client.call("grpc.health.v1.Health", "Check")
        learned = {
            "services": client.services(),
            "methods": client.methods(vms),
            "vms": [vm.metadata.name for vm in listed.virtual_machines],
            "failure": {"code": code, "details": details},
            "event": event,
            "health": json_format.MessageToDict(health),
        }
    json.dump(learned, sys.stdout)


main()
