"""Projects and their sections: the places where tasks stand."""
