#include "support/harness.hpp"

int main(int argc, char** argv) { return test::runAll(argc, argv); }
