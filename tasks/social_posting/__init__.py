"""Social posting: each post once, whatever breaks between us and the platform."""
