#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "net/tls-internal.hpp"
#include "net/tls.hpp"

namespace streamer {
namespace {

constexpr std::string_view kAlpn = "novacron-stream/1";
// More names than any sensible certificate carries.
constexpr int kMaxNames = 64;

Error contextError(const std::string& what) {
  const std::string reason = lastOpensslError();
  return Error{FailureCode::tlsFailed, what + ": " + reason};
}

std::array<unsigned char, kAlpn.size() + 1> alpnList() {
  std::array<unsigned char, kAlpn.size() + 1> list{};
  list[0] = static_cast<unsigned char>(kAlpn.size());
  for (std::size_t i = 0; i < kAlpn.size(); ++i) list[i + 1] = static_cast<unsigned char>(kAlpn[i]);
  return list;
}

int selectAlpn(SSL*, const unsigned char** out, unsigned char* outLength, const unsigned char* offered,
               unsigned int offeredLength, void*) {
  static const auto ours = alpnList();
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, outLength, ours.data(), static_cast<unsigned int>(ours.size()), offered,
                            offeredLength) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

std::string lastOpensslError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

bool carriesUri(X509* certificate, const std::string& uri) {
  struct FreeNames {
    void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  };
  const std::unique_ptr<GENERAL_NAMES, FreeNames> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) return false;
  const int count = std::min(sk_GENERAL_NAME_num(names.get()), kMaxNames);
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
    const auto length = static_cast<std::size_t>(ASN1_STRING_length(text));
    // Compared with its length, so a name with an embedded zero byte is not equal to what stands before it.
    if (asText(std::span(ASN1_STRING_get0_data(text), length)) == uri) return true;
  }
  return false;
}

Result<TlsContext> TlsContext::load(const TlsSettings& settings, TlsRole role) {
  ERR_clear_error();
  TlsContext context;
  context.role_ = role;
  context.peerName_ = std::make_unique<const std::string>(settings.peerName);
  context.context_.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* ssl = context.get();
  if (ssl == nullptr || SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1) {
    return contextError("Cannot set up TLS");
  }
  if (SSL_CTX_use_certificate_chain_file(ssl, settings.certificate.c_str()) != 1) {
    return contextError("Cannot read the certificate " + settings.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(ssl, settings.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return contextError("Cannot read the key " + settings.key);
  }
  if (SSL_CTX_check_private_key(ssl) != 1) {
    return contextError("The key " + settings.key + " does not belong to the certificate " + settings.certificate);
  }
  if (SSL_CTX_load_verify_file(ssl, settings.ca.c_str()) != 1) {
    return contextError("Cannot read the CA certificates " + settings.ca);
  }
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, TlsCallbacks::verify);
  // A lane always makes a full handshake: resumption would skip the check of a certificate that expired meanwhile.
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ssl, 0);
  SSL_CTX_set_mode(ssl, SSL_MODE_AUTO_RETRY);
  if (role == TlsRole::server) {
    SSL_CTX_set_alpn_select_cb(ssl, selectAlpn, nullptr);
  } else {
    const auto list = alpnList();
    SSL_CTX_set_alpn_protos(ssl, list.data(), static_cast<unsigned int>(list.size()));
  }
  return context;
}

bool agreedOnAlpn(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl, &name, &length);
  return name != nullptr && asText(std::span(name, length)) == kAlpn;
}

}  // namespace streamer
