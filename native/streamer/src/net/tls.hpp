#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace streamer {

struct TlsSettings {
  std::string certificate;
  std::string key;
  std::string ca;
  /** URI subject alternative name the peer's certificate must carry. */
  std::string peerName;
};

enum class TlsRole { client, server };

/** Certificates and rules of all lanes: TLS 1.3, both sides verified, own ALPN, no resumption. */
class TlsContext {
 public:
  static Result<TlsContext> load(const TlsSettings& settings, TlsRole role);

  SSL_CTX* get() const { return context_.get(); }
  TlsRole role() const { return role_; }
  const std::string& peerName() const { return *peerName_; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
  // Behind a pointer, because verification reads it from streams made before a move of this object.
  std::unique_ptr<const std::string> peerName_;
  TlsRole role_ = TlsRole::client;
};

/** Why TLS failed, and whether trying again could ever help. */
struct TlsFailure {
  Error error;
  bool final = false;
};

/**
 * TLS as a filter between byte arrays: it owns no socket, so all sending, pacing and counting stays with the lane.
 */
class TlsStream {
 public:
  static std::unique_ptr<TlsStream> create(const TlsContext& context);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  /** Ciphertext from the peer. It must stay in place until read() or handshake() returned without data. */
  void feed(std::span<const std::byte> ciphertext) { input_ = ciphertext; }
  /** True when complete, false when it needs more from the peer; failed() says more about nothing. */
  std::optional<bool> handshake();
  /** Plaintext bytes; 0 when more ciphertext is needed; nothing on failure or the peer's close_notify. */
  std::optional<std::size_t> read(std::span<std::byte> out);
  bool write(std::span<const std::byte> plaintext);
  /** Says that nothing follows, so that the peer can tell an end from a cut. */
  void close();
  const TlsFailure& failure() const { return failure_; }

  /** Ciphertext for the peer. */
  std::span<const std::byte> output() const { return std::span(output_).subspan(outputStart_); }
  void outputSent(std::size_t count);

 private:
  friend struct TlsCallbacks;
  TlsStream() = default;
  void fail(int sslResult);

  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  std::unique_ptr<SSL, Free> ssl_;
  const std::string* peerName_ = nullptr;
  std::span<const std::byte> input_;
  std::vector<std::byte> output_;
  std::size_t outputStart_ = 0;
  std::uint64_t sinceKeyUpdate_ = 0;
  std::optional<TlsFailure> verifyFailure_;
  TlsFailure failure_;
};

}  // namespace streamer
