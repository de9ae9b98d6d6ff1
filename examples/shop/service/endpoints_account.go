package service

import (
	"errors"
	"net/http"
	"time"

	"gorm.io/gorm"
)

func (s *shop) register(r *http.Request) (any, error) {
	var form struct{ Email, Name, Password, Street, City string }
	if err := body(r, &form); err != nil {
		return nil, err
	}
	db := s.on(r)
	var taken int64
	if err := db.Model(&User{}).Where("email = ?", form.Email).Count(&taken).Error; err != nil {
		return nil, err
	}
	if taken > 0 {
		return nil, errTaken
	}
	user := User{Email: form.Email, Name: form.Name, Password: form.Password}
	if form.Street != "" {
		user.Addresses = []Address{{Street: form.Street, City: form.City}}
	}
	err := db.Create(&user).Error
	return user, err
}

func (s *shop) login(r *http.Request) (any, error) {
	var form struct{ Email, Password string }
	if err := body(r, &form); err != nil {
		return nil, err
	}
	db := s.on(r)
	var user User
	err := db.Where("email = ?", form.Email).First(&user).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return nil, errPassword
	case err != nil:
		return nil, err
	case user.Password != form.Password:
		return nil, errPassword
	}
	err = db.Model(&user).UpdateColumn("last_login_at", time.Now()).Error
	return user, err
}

func (s *shop) me(r *http.Request) (any, error) {
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	var full User
	err = s.on(r).Preload("Addresses").First(&full, user.ID).Error
	return full, err
}

func (s *shop) changeMe(r *http.Request) (any, error) {
	var form struct{ Name string }
	if err := body(r, &form); err != nil {
		return nil, err
	}
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	user.Name = form.Name
	err = s.on(r).Save(user).Error
	return user, err
}

func (s *shop) profile(r *http.Request) (any, error) {
	var answer struct {
		User struct {
			ID   uint
			Name string
		}
		Reviews int64
		Latest  []Review
	}
	db := s.on(r)
	if err := db.Model(&User{}).Where("id = ?", pathID(r)).Take(&answer.User).Error; err != nil {
		return nil, err
	}
	reviews := db.Model(&Review{}).Where("user_id = ?", pathID(r))
	if err := reviews.Session(sharing).Count(&answer.Reviews).Error; err != nil {
		return nil, err
	}
	err := reviews.Session(sharing).Order("id DESC").Limit(5).Find(&answer.Latest).Error
	return answer, err
}

// sharing makes of a half-built query one that several can be built on.
var sharing = &gorm.Session{}
