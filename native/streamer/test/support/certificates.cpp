#include "support/certificates.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace test {
namespace {

template <auto Function>
struct FreeWith {
  template <typename T>
  void operator()(T* pointer) const {
    Function(pointer);
  }
};
using Key = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using File = std::unique_ptr<FILE, FreeWith<std::fclose>>;

void require(bool condition) {
  if (!condition) throw std::runtime_error("Cannot make a test certificate");
}

Key newKey() {
  Key key(EVP_EC_gen("P-256"));
  require(key != nullptr);
  return key;
}

void addExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  require(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

Certificate newCertificate(EVP_PKEY* key, const std::string& name, long validSeconds) {
  static long serial = 1;
  Certificate certificate(X509_new());
  require(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -86400);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), validSeconds);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  require(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0) == 1);
  require(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

File openFile(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"));
  require(file != nullptr);
  return file;
}

}  // namespace

struct TestCa::Keys {
  Key key;
  Certificate certificate;
};

TestCa::TestCa(std::string folder, const std::string& name)
    : folder_(std::move(folder)), file_(folder_ + "/" + name + "-ca.pem"), keys_(std::make_unique<Keys>()) {
  keys_->key = newKey();
  keys_->certificate = newCertificate(keys_->key.get(), name, 86400);
  X509* certificate = keys_->certificate.get();
  require(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
  addExtension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  require(X509_sign(certificate, keys_->key.get(), EVP_sha256()) > 0);
  require(PEM_write_X509(openFile(file_).get(), certificate) == 1);
}

TestCa::~TestCa() = default;

CertificateFiles TestCa::issue(const std::string& name, const std::string& uri, long validSeconds) const {
  const CertificateFiles files{folder_ + "/" + name + ".pem", folder_ + "/" + name + ".key"};
  const Key key = newKey();
  const Certificate certificate = newCertificate(key.get(), name, validSeconds);
  X509* issuer = keys_->certificate.get();
  require(X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) == 1);
  addExtension(certificate.get(), issuer, NID_subject_alt_name, "URI:" + uri);
  addExtension(certificate.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  require(X509_sign(certificate.get(), keys_->key.get(), EVP_sha256()) > 0);
  require(PEM_write_X509(openFile(files.certificate).get(), certificate.get()) == 1);
  require(PEM_write_PrivateKey(openFile(files.key).get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return files;
}

}  // namespace test
