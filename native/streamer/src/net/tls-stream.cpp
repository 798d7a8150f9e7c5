#include <openssl/err.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>

#include "net/tls-internal.hpp"
#include "net/tls.hpp"

namespace streamer {
namespace {

// AES-GCM in TLS 1.3 is good for about 2^24 full records (RFC 8446, 5.5), that is 256 GiB; OpenSSL does not count them.
constexpr std::uint64_t kKeyUpdateBytes = 64ULL << 30;

int streamIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

/** Alerts by which a peer says that it will never accept us, unlike those that garbage on the wire provokes. */
bool isFinalAlert(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

}  // namespace

int TlsCallbacks::verify(int chainIsGood, X509_STORE_CTX* store) {
  SSL* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* stream = static_cast<TlsStream*>(SSL_get_ex_data(ssl, streamIndex()));
  if (chainIsGood != 1) {
    const int code = X509_STORE_CTX_get_error(store);
    stream->verifyFailure_ = TlsFailure{
        {FailureCode::tlsFailed,
         std::string("The peer's certificate was refused: ") + X509_verify_cert_error_string(code)},
        true};
    return 0;
  }
  if (X509_STORE_CTX_get_error_depth(store) != 0) return 1;
  if (carriesUri(X509_STORE_CTX_get_current_cert(store), *stream->peerName_)) return 1;
  stream->verifyFailure_ =
      TlsFailure{{FailureCode::peerNameMismatch,
                  "The peer's certificate is valid but not that of " + *stream->peerName_},
                 true};
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

int TlsCallbacks::bioWrite(BIO* bio, const char* data, std::size_t length, std::size_t* written) {
  auto* stream = static_cast<TlsStream*>(BIO_get_data(bio));
  const auto bytes = std::as_bytes(std::span(data, length));
  stream->output_.insert(stream->output_.end(), bytes.begin(), bytes.end());
  *written = length;
  return 1;
}

int TlsCallbacks::bioRead(BIO* bio, char* data, std::size_t length, std::size_t* got) {
  auto* stream = static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t count = std::min(length, stream->input_.size());
  if (count == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(data, stream->input_.data(), count);
  stream->input_ = stream->input_.subspan(count);
  *got = count;
  return 1;
}

long TlsCallbacks::bioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* TlsCallbacks::bioMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "streamer");
    BIO_meth_set_write_ex(made, bioWrite);
    BIO_meth_set_read_ex(made, bioRead);
    BIO_meth_set_ctrl(made, bioControl);
    return made;
  }();
  return method;
}

std::unique_ptr<TlsStream> TlsStream::create(const TlsContext& context) {
  std::unique_ptr<TlsStream> stream(new TlsStream());
  stream->peerName_ = &context.peerName();
  stream->ssl_.reset(SSL_new(context.get()));
  BIO* bio = BIO_new(TlsCallbacks::bioMethod());
  if (stream->ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, stream.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(stream->ssl_.get(), bio, bio);  // takes the BIO over
  SSL_set_ex_data(stream->ssl_.get(), streamIndex(), stream.get());
  if (context.role() == TlsRole::client) {
    SSL_set_connect_state(stream->ssl_.get());
  } else {
    SSL_set_accept_state(stream->ssl_.get());
  }
  return stream;
}

void TlsStream::fail(int sslResult) {
  const int kind = SSL_get_error(ssl_.get(), sslResult);
  if (kind == SSL_ERROR_ZERO_RETURN) {
    failure_ = {{FailureCode::linkLost, "The peer closed the lane"}, false};
    return;
  }
  const unsigned long code = ERR_peek_last_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const std::string text = lastOpensslError();
  if (verifyFailure_) {
    failure_ = *verifyFailure_;
  } else if (isFinalAlert(reason)) {
    failure_ = {{FailureCode::tlsFailed, "The peer refused our certificate or settings: " + text}, true};
  } else {
    failure_ = {{FailureCode::tlsFailed, "TLS failed: " + text}, false};
  }
}

std::optional<bool> TlsStream::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    if (agreedOnAlpn(ssl_.get())) return true;
    failure_ = {{FailureCode::tlsFailed, "The peer does not speak novacron-stream/1"}, true};
    return std::nullopt;
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return false;
  fail(result);
  return std::nullopt;
}

std::optional<std::size_t> TlsStream::read(std::span<std::byte> out) {
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &count);
  if (result == 1) return count;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return 0;
  fail(result);
  return std::nullopt;
}

bool TlsStream::write(std::span<const std::byte> plaintext) {
  if (plaintext.empty()) return true;
  ERR_clear_error();
  sinceKeyUpdate_ += plaintext.size();
  if (sinceKeyUpdate_ > kKeyUpdateBytes) {
    SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    sinceKeyUpdate_ = 0;
  }
  std::size_t written = 0;
  const int result = SSL_write_ex(ssl_.get(), plaintext.data(), plaintext.size(), &written);
  if (result == 1) return true;
  fail(result);
  return false;
}

void TlsStream::close() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

void TlsStream::outputSent(std::size_t count) {
  outputStart_ = std::min(outputStart_ + count, output_.size());
  if (outputStart_ == output_.size()) {
    output_.clear();
    outputStart_ = 0;
  }
}

}  // namespace streamer
