"""What tests share: time, files, servers, clients and processes that they own."""
