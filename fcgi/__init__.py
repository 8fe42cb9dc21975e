"""The front: speaks FastCGI to web servers and forwards requests to VM hosts."""
