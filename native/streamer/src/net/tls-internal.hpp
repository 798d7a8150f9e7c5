#pragma once

#include <openssl/ssl.h>

#include <span>
#include <string>

namespace streamer {

/** What OpenSSL calls back into. */
struct TlsCallbacks {
  static int verify(int chainIsGood, X509_STORE_CTX* store);
  static int bioWrite(BIO* bio, const char* data, std::size_t length, std::size_t* written);
  static int bioRead(BIO* bio, char* data, std::size_t length, std::size_t* got);
  static long bioControl(BIO* bio, int command, long number, void* pointer);
  static BIO_METHOD* bioMethod();
};

/** The reason of the last error in OpenSSL's queue, which is emptied. */
std::string lastOpensslError();
/** Whether a certificate has this URI among its subject alternative names. */
bool carriesUri(X509* certificate, const std::string& uri);
bool agreedOnAlpn(const SSL* ssl);

inline std::string asText(std::span<const unsigned char> bytes) { return std::string(bytes.begin(), bytes.end()); }

}  // namespace streamer
