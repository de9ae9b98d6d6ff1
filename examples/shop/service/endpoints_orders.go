package service

import (
	"net/http"

	"gorm.io/gorm"
)

func (s *shop) cart(r *http.Request) (any, error) {
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Items []CartItem
		Total struct {
			Pieces int
			Amount int64
		}
	}
	db := s.on(r)
	if err := db.Preload("Product").Where("user_id = ?", user.ID).Order("id").Find(&answer.Items).Error; err != nil {
		return nil, err
	}
	err = db.Model(&CartItem{}).
		Select("SUM(cart_items.quantity) AS pieces, SUM(cart_items.quantity * products.price) AS amount").
		Joins("JOIN products ON products.id = cart_items.product_id").
		Where("cart_items.user_id = ?", user.ID).Scan(&answer.Total).Error
	return answer, err
}

func (s *shop) addToCart(r *http.Request) (any, error) {
	var form struct {
		ProductID uint
		Quantity  int
	}
	if err := body(r, &form); err != nil {
		return nil, err
	}
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	db := s.on(r)
	var product Product
	if err := db.First(&product, form.ProductID).Error; err != nil {
		return nil, err
	}
	line := db.Where(CartItem{UserID: user.ID, ProductID: product.ID}).Session(&gorm.Session{})
	var item CartItem
	if err := line.FirstOrCreate(&item).Error; err != nil {
		// Another request of the user may have come first.
		if item = (CartItem{}); line.First(&item).Error != nil {
			return nil, err
		}
	}
	err = db.Model(&item).UpdateColumn("quantity", gorm.Expr("quantity + ?", max(1, form.Quantity))).Error
	return map[string]any{"Added": product.Name}, err
}

func (s *shop) removeFromCart(r *http.Request) (any, error) {
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	gone := s.on(r).Where("user_id = ? AND product_id = ?", user.ID, pathID(r)).Delete(&CartItem{})
	return map[string]any{"Removed": gone.RowsAffected}, gone.Error
}

// buy makes an order of the cart: it reads what there is of each product, and takes it out.
func (s *shop) buy(r *http.Request) (any, error) {
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	order := Order{UserID: user.ID, Status: "new"}
	err = s.on(r).Transaction(func(tx *gorm.DB) error {
		var lines []CartItem
		if err := tx.Where("user_id = ?", user.ID).Order("product_id").Find(&lines).Error; err != nil {
			return err
		}
		if len(lines) == 0 {
			return errEmptyCart
		}
		for _, line := range lines {
			var product Product
			if err := tx.First(&product, line.ProductID).Error; err != nil {
				return err
			}
			if product.Stock < line.Quantity {
				return errOutOfStock
			}
			err := tx.Model(&product).UpdateColumns(map[string]any{
				"stock": gorm.Expr("stock - ?", line.Quantity),
				"sold":  gorm.Expr("sold + ?", line.Quantity),
			}).Error
			if err != nil {
				return err
			}
			order.Items = append(order.Items, OrderItem{ProductID: product.ID, Quantity: line.Quantity, Price: product.Price})
			order.Total += product.Price * int64(line.Quantity)
		}
		if err := tx.Create(&order).Error; err != nil {
			return err
		}
		return tx.Where("user_id = ?", user.ID).Delete(&CartItem{}).Error
	})
	return order, err
}

func (s *shop) orders(r *http.Request) (any, error) {
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Total  int64
		Orders []Order
	}
	mine := s.on(r).Model(&Order{}).Where("user_id = ?", user.ID)
	if err := mine.Session(sharing).Count(&answer.Total).Error; err != nil {
		return nil, err
	}
	err = mine.Session(sharing).Preload("Items.Product").Scopes(page(r)).Order("id DESC").Find(&answer.Orders).Error
	return answer, err
}

func (s *shop) order(r *http.Request) (any, error) {
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	var order Order
	if err := s.on(r).Preload("Items.Product").First(&order, pathID(r)).Error; err != nil {
		return nil, err
	}
	if order.UserID != user.ID {
		return nil, errNotYours
	}
	return order, nil
}
