#pragma once

#include <memory>
#include <string>

namespace test {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

/** A CA made for one run of the tests, in a folder of its own. */
class TestCa {
 public:
  TestCa(std::string folder, const std::string& name);
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;

  const std::string& file() const { return file_; }
  /** A node certificate with this URI, valid from yesterday until `validSeconds` from now. */
  CertificateFiles issue(const std::string& name, const std::string& uri, long validSeconds = 86400) const;

 private:
  struct Keys;
  std::string folder_;
  std::string file_;
  std::unique_ptr<Keys> keys_;
};

}  // namespace test
