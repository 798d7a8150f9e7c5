#pragma once

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace test {

/** Ends the test that it is thrown in. */
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Registration {
  Registration(const char* name, std::function<void()> body);
};

[[noreturn]] void fail(const char* file, int line, const std::string& what);

template <typename A, typename B>
void checkEqual(const A& actual, const B& expected, const char* file, int line, const char* text) {
  if (actual == expected) return;
  std::ostringstream message;
  message << text << ": got " << actual << ", expected " << expected;
  fail(file, line, message.str());
}

/** Runs all tests, or those whose name holds the argument, or a share of them; prints the count last. */
int runAll(int argc, char** argv);

}  // namespace test

#define TEST_JOIN2(a, b) a##b
#define TEST_JOIN(a, b) TEST_JOIN2(a, b)
/** A test with a sentence as its name. */
#define TEST(name)                                                                                        \
  static void TEST_JOIN(testBody, __LINE__)();                                                            \
  static const test::Registration TEST_JOIN(testEntry, __LINE__)(name, TEST_JOIN(testBody, __LINE__));    \
  static void TEST_JOIN(testBody, __LINE__)()
#define CHECK(condition) \
  do {                   \
    if (!(condition)) test::fail(__FILE__, __LINE__, #condition); \
  } while (false)
#define CHECK_EQUAL(actual, expected) test::checkEqual((actual), (expected), __FILE__, __LINE__, #actual)
