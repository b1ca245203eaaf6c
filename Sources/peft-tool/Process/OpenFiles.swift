#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How many files the process may have open: one per shard, which for large models is more than some
/// systems allow at first.
enum OpenFiles {
  /// Raises the limit as far as the system lets a user do it.
  static func raiseLimit() {
    var limit = rlimit()
    #if canImport(Glibc)
      let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let files = RLIMIT_NOFILE
    #endif
    guard getrlimit(files, &limit) == 0 else { return }
    limit.rlim_cur = min(limit.rlim_max, 10_240)
    _ = setrlimit(files, &limit)
  }
}
